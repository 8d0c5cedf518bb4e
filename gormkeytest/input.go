package gormkeytest

var inputCases = []testCase{}
