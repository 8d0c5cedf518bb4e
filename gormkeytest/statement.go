package gormkeytest

var statementCases = []testCase{}
