package gormkeytest

var faultCases = []testCase{}
