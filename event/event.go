// Package event names what happens to users, for the hooks that gormkey.WithHook sets.
package event

import (
	"gorm.io/gorm"

	"github.com/gormkey/gormkey/authtype"
)

// Event is something that happened to a user. It holds no secret, but KeyID holds the name that
// was typed, such as an email address.
type Event struct {
	Type      Type
	At        authtype.UnixMilli // by the plugin's clock
	UserID    string             // empty if the user is not known
	KeyID     authtype.KeyID     // set if the event is about a key
	SessionID authtype.SessionID // set if the event is about one session; the SHA-256 of its token
	Purpose   authtype.Purpose   // of a one-time token
	Methods   authtype.Methods   // by which the user showed who they are, with SessionOpened, SignedIn and Reauthenticated
	Reason    string             // of a suspension, as it was given
	ActorID   string             // who did it, where the caller said so: see [Origin]
	Address   string             // the client's, where the caller said so
	Agent     string             // the client's, where the caller said so
	// Err is why a sign-in failed: gormkey.ErrKeyNotFound (no such key, or its user is gone
	// or soft-deleted), gormkey.ErrInvalidPassword, gormkey.ErrSuspended after a right
	// password, or the hasher's error about the stored hash.
	Err error
}

// Type names what happened.
type Type string

// The points at which hooks run. All but SignInFailed run after the statements of the
// operation and inside its transaction: a hook's error rolls the operation back, and the caller
// gets that error.
const (
	UserCreated     Type = "user created"     // CreateUser; its keys' KeyAdded come after
	UserDeleted     Type = "user deleted"     // DeleteUser, with its keys and sessions; not for an unknown id
	KeyAdded        Type = "key added"        // CreateUser, AddKey, ShareKey, RenameKey
	KeyRemoved      Type = "key removed"      // RemoveKey, RenameKey; not for an unknown key
	PasswordChanged Type = "password changed" // ChangePassword, OverwritePassword, ResetPassword, for the key named
	TokenIssued     Type = "token issued"     // IssueToken
	TokenUsed       Type = "token used"       // UseToken, ResetPassword, SignInWithToken
	SignedIn        Type = "signed in"        // SignIn, after SessionOpened; SignInWithToken, without a KeyID
	// SignInFailed follows a failed SignIn, UseKey, ChangePassword or Reauthenticate, outside any
	// transaction of the library: there is nothing to undo, and a hook's error is joined to
	// ErrInvalidCredentials. In a transaction of the caller, a rollback undoes what a hook wrote.
	SignInFailed  Type = "sign-in failed"
	SessionOpened Type = "session opened" // OpenSession, SignIn, SignInWithToken
	// Reauthenticated follows Reauthenticate. SessionID is the new one; the old id names nothing any
	// more.
	Reauthenticated Type = "re-authenticated"
	SessionRenewed  Type = "session renewed" // ValidateSession, by the call that renewed it
	// SessionEnded follows every call that ends sessions, if there were any to end, except
	// DeleteUser: once for each call. SessionID is empty if the call may have ended several. Dead
	// sessions end without it.
	SessionEnded Type = "session ended"
	Suspended    Type = "suspended"   // Suspend, after the SessionEnded of the user's sessions
	Unsuspended  Type = "unsuspended" // Unsuspend, only for a user who was suspended until then
)

// Hook is told of events. It writes through tx, which is in the operation's transaction if there
// is one, and it must not keep tx. It may run again if the transaction is retried after a
// deadlock, so effects outside the database, such as a mail, belong after the call. On Cloudflare
// D1, where an operation is one batch, it runs before that batch and cannot read what it will write.
type Hook func(tx *gorm.DB, e Event) error
