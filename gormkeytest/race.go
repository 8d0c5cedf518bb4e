package gormkeytest

var raceCases = []testCase{}
