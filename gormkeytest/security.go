package gormkeytest

var securityCases = []testCase{}
