package gormkeytest

var sessionCases = []testCase{}
