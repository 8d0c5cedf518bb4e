package libsql

// DialError is dialError.
var DialError = dialError
