package gormkeytest

var pluginCases = []testCase{}
