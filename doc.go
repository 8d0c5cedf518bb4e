// Package gormkey is an auth system as a GORM plugin: users, keys (ways to sign in) and sessions
// in the application's own database, with the application's own user model. It brings the model
// of Lucia v2 to Go.
//
//	type Account struct {
//		gormkey.User
//		Email string `gorm:"size:255;uniqueIndex"`
//	}
//
//	plugin := gormkey.New[Account]()
//	err := db.Use(plugin)              // right after gorm.Open
//	err = plugin.AutoMigrate(db)
//	auth, err := plugin.Repository()
//	session, err := auth.SignIn(ctx, login)
//
// # Where to find it
//
// Signing up and in: [RepositoryOf.CreateUser], [RepositoryOf.SignIn], [RepositoryOf.SignOut],
// [RepositoryOf.GetUser], [RepositoryOf.UpdateUserAttributes], [RepositoryOf.DeleteUser];
// [Credentials], [Proved] for OAuth, [FoldEmail].
//
// Sessions: [RepositoryOf.ValidateSession], [RepositoryOf.UserSessions],
// [RepositoryOf.EndSession], [RepositoryOf.EndOtherSessions], [RepositoryOf.EndAllSessions],
// [RepositoryOf.DeleteExpired]; [WithSessionPeriods], [WithAbsoluteLifetime].
//
// Passwords and keys: [RepositoryOf.ChangePassword], [RepositoryOf.OverwritePassword],
// [RepositoryOf.UseKey], [RepositoryOf.AddKey], [RepositoryOf.ShareKey],
// [RepositoryOf.RenameKey], [RepositoryOf.RemoveKey]; [Imported] for the hashes of another
// system, [WithPasswordPolicy], [WithPasswordHasher], and package password.
//
// Links by mail: [WithOneTimeTokens], [RepositoryOf.IssueToken], [RepositoryOf.UseToken],
// [RepositoryOf.ResetPassword], [RepositoryOf.SignInWithToken].
//
// Schema: [PluginOf.AutoMigrate], [PluginOf.Migrate], [PluginOf.SQL], [PluginOf.PendingSQL],
// [RepositoryOf.Audit], [RepositoryOf.Repair]; [WithTableNames], [WithoutForeignKeys],
// [WithOwned], [WithLuciaV2], and package tables.
//
// On the web: package httpauth has cookies, bearer tokens and middleware; package throttle limits
// how often somebody may guess.
//
// Columns of your own: embed [Key] or [Session] and make the plugin with [NewOf]. The names
// without "Of" are short for keys and sessions that have none. Package event has the events that
// hooks get ([WithHook]), and package authtype the types of columns.
//
// # What it stops
//
// Somebody who reads the database gets no session and no password: the tables hold the SHA-256 of
// tokens and the Argon2id of passwords. Ids compare byte by byte on every engine. A failed
// sign-in does not tell, in its error or its time, whether the account exists. Rows that belong
// together are written in one transaction, under locks that let no session survive its user or
// the password that opened it.
//
// # What it leaves to the caller
//
//   - Cookies and cross-site request forgery: package httpauth does both.
//   - Throttling of guesses: package throttle does it.
//   - Proof that an email address or a GitHub account is somebody's.
//   - One form of an email address: pass it through [FoldEmail] before it becomes the id of a key
//     or a column.
//   - A deadline in each context: a database may not answer.
//
// # Compatibility
//
// Column names and the meaning of expiries are Lucia v2's. A hash names its own format and
// settings, so a change of the defaults leaves old hashes valid. Exported names stay within a
// major version; CHANGELOG.md names each change of the schema.
package gormkey
