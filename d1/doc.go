// Package d1 opens Cloudflare D1 for GORM and database/sql, over D1's HTTP API, from
// programs that run anywhere:
//
//	db, err := gorm.Open(d1.Open("d1://<account>/<database>"), &gorm.Config{})
//
// with the token in CLOUDFLARE_API_TOKEN, or in [Config.Token] with [New]. [OpenDB] is for
// database/sql alone.
//
// # Transactions
//
// D1 has none over HTTP: it has batches, each of which is atomic. So a transaction here
// is a list. Exec adds a statement to it and returns before the statement has run; Commit
// sends the list as one batch, which is done in whole or not at all. From that follow
// rules, and what would break one is an error:
//
//   - What a statement violates is known only at Commit, which returns the error of the
//     whole. The program cannot react to it inside the transaction.
//   - RowsAffected and LastInsertId return [ErrPending] until Commit has returned nil, and
//     the numbers after it. GORM drops that error: its RowsAffected is then negative,
//     which means unknown. To make Commit fail where a statement changed too few rows,
//     add the statement of [Require] after it.
//   - Queries are answered as long as nothing was added: at once, outside of the batch,
//     and isolated from nothing. What they read may have changed at Commit; have the
//     statements check it again. After a write they return [ErrReadAfterWrite].
//   - A write that returns rows, by RETURNING, returns [ErrReturning]: sent at once it
//     would not be undone with the rest.
//   - SAVEPOINT, RELEASE and ROLLBACK TO work on the list, exactly. BEGIN, COMMIT and
//     ROLLBACK as statements return [ErrTransaction], in a transaction or not.
//   - Isolation levels and read-only transactions are refused by Begin.
//
// The operations of gormkey keep to them: each reads first and sends its writes as one
// batch, which fails where what was read no longer holds; then it reads again. In a
// transaction of the program's, those that read are refused after a write, and those that
// return what they wrote always. Their hooks run before the batch is sent.
//
// [Batch] sends a list without a transaction around it and returns all results and rows.
//
// GORM's own transaction around Create, Update and Delete is left out where there is one
// statement, which is atomic by itself: no associations to save, no hooks, and no
// callbacks of a plugin other than gormkey, which begins its own. Around several it is
// there, and RowsAffected is known after it; a model whose ids the database makes then
// gets ErrReturning, unless SkipDefaultTransaction says that the statements need not be
// atomic. In a transaction of the program's, Save returns ErrPending, since it would
// insert or not by the number of rows that its UPDATE changed.
//
// # Rows affected
//
// D1 reports what sqlite3_total_changes says, with rows that cascades and triggers
// changed. RowsAffected is the statement's own: each INSERT, UPDATE and DELETE is sent
// in a batch with SELECT changes().
//
// # Types
//
// D1's JSON has the numbers of JavaScript. Integers, also those in the numbers that come
// back, go from -(2⁵³-1) to 2⁵³-1; one beyond is [ErrIntegerRange], since it may have
// lost its last digits. Read it by CAST(… AS TEXT). An integer parameter reaches SQLite
// as a REAL and becomes an INTEGER by the column's type; typeof(?) says real. A REAL
// without a fraction comes back as an int64, which Scan converts.
//
// Blobs are exact. Text has to be UTF-8. NaN and infinities are refused. A bool is 0
// or 1. A time.Time is written in UTC as "2006-01-02 15:04:05.999999999+00:00", the form
// of GORM's SQLite drivers; the columns' types are not known over HTTP, so every text of
// exactly that form, with any offset, comes back as a time.Time. A text of another form,
// CURRENT_TIMESTAMP's too, stays a text, and does not Scan into a time.Time.
//
// A statement has 100 parameters at most ([ErrTooManyParameters]), and one text one
// statement ([ErrSeveralStatements]). D1 does not tell its SQLite's version: "select
// sqlite_version()", which GORM asks, is answered with the oldest that has what GORM uses.
//
// # Failures
//
// What D1 refused is an [Error], with SQLite's code. A request is repeated, three times
// at most, only where nothing can have been written: a read, D1's answer 429, or a
// connection that was never had. When the answer to a write is lost, by a timeout, a cut
// connection or a status 500, the error is [ErrOutcomeUnknown]: read, then decide. It
// also is io.ErrUnexpectedEOF, and never driver.ErrBadConn, after which database/sql
// would send the write again. No error or log has the token.
//
// # Migrations
//
// AutoMigrate creates and extends tables, statement by statement, since its reads depend
// on its writes; after a failure run it again. D1 enforces foreign keys always, so a
// table that is rebuilt would lose the rows that point at it: what GORM does on SQLite by
// a rebuild, changing or dropping a column or a constraint, is [ErrTableRebuild] before
// anything is sent.
package d1
