// Package gormkey is an auth system as a GORM plugin: users, keys (ways to sign in) and
// sessions on the application's own database, with the application's own user model.
// It brings the model of Lucia v2 to Go.
//
// Embed [User] in the user model, make a plugin with [New], register it with db.Use
// right after gorm.Open, migrate with [PluginOf.AutoMigrate], and get the operations with
// [PluginOf.Repository]. [RepositoryOf.CreateUser], [RepositoryOf.SignIn],
// [RepositoryOf.ValidateSession] and [RepositoryOf.SignOut] are the main ones. Where keys or
// sessions have columns of the application's own, [NewOf] makes the plugin; the names without
// "Of" are short for those that have none.
//
// The other packages: password has hashes and their policies, httpauth the request side,
// throttle the limits of guesses, event what hooks are told, tables what an audit or a migration
// says of the tables, and authtype the types of columns.
//
// # What it stops
//
// A database that is read gives no working session and no password: the tables hold
// SHA-256 of tokens and Argon2id of passwords. Ids compare byte by byte on every engine.
// A failed sign-in does not tell, in its error or its time, whether the account exists.
// What is written together is written in one transaction, under locks that let no
// session survive its user or the password that opened it.
//
// # What it leaves to the caller
//
// Cookies and cross-site request forgery, for which there is package httpauth;
// throttling of guesses, for which there is package throttle; proof that an email address
// or a GitHub account is somebody's; and lower-casing of what people type into an id. Pass a
// context with a deadline: a database may not answer.
//
// # Compatibility
//
// Column names and the meaning of expiries are Lucia v2's. A hash says how it was made,
// so a change of the defaults leaves old ones valid. Exported names are kept within a
// major version; CHANGELOG.md names each change of the schema.
package gormkey
