package gormkey_test

import _ "github.com/libtnb/sqlite"
