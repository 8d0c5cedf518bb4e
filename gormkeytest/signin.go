package gormkeytest

var signInCases = []testCase{}
