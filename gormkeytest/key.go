package gormkeytest

var keyCases = []testCase{}
