package gormkey

import (
	"gorm.io/gorm"
)

// Event is something that happened to a user. It holds no secret; KeyID holds what the
// user typed to name themself, an email address say.
type Event struct {
	Type      EventType
	At        UnixMilli // by the plugin's clock
	UserID    string    // empty where the user is not known
	KeyID     KeyID     // where a key is concerned
	SessionID SessionID // where one session is concerned; with [WithLuciaV2] the SHA-256 of the token
	Purpose   Purpose   // of a one-time token
	// Err is why a sign-in failed: [ErrKeyNotFound] (no such key, or its user is gone
	// or soft-deleted), [ErrInvalidPassword], or what the hasher said of the hash.
	Err error
}

// EventType names what happened.
type EventType string

// The points at which hooks run. All but EventSignInFailed run after the statements of the
// operation and inside its transaction: a hook's error rolls the operation back and is
// what its caller gets.
const (
	EventUserCreated     EventType = "user created"     // CreateUser; its keys' EventKeyAdded come after
	EventUserDeleted     EventType = "user deleted"     // DeleteUser, with its keys and sessions; not for an unknown id
	EventKeyAdded        EventType = "key added"        // CreateUser, AddKey, ShareKey, RenameKey
	EventKeyRemoved      EventType = "key removed"      // RemoveKey, RenameKey; not for an unknown key
	EventPasswordChanged EventType = "password changed" // ChangePassword, OverwritePassword, ResetPassword, for the key named
	EventTokenIssued     EventType = "token issued"     // IssueToken
	EventTokenUsed       EventType = "token used"       // UseToken, ResetPassword, SignInWithToken
	EventSignedIn        EventType = "signed in"        // SignIn, after EventSessionOpened; SignInWithToken, without a KeyID
	// EventSignInFailed follows a failed SignIn, UseKey or ChangePassword, outside any transaction of the
	// library: there is nothing to undo, and a hook's error is joined to
	// ErrInvalidCredentials. In a caller's transaction what a hook writes goes with it.
	EventSignInFailed   EventType = "sign-in failed"
	EventSessionOpened  EventType = "session opened"  // OpenSession, SignIn, SignInWithToken
	EventSessionRenewed EventType = "session renewed" // ValidateSession, by the call that renewed it
	// EventSessionEnded follows every call but DeleteUser that ends sessions, once a call;
	// SessionID is empty where it may have ended several. Dead sessions end without it.
	EventSessionEnded EventType = "session ended"
)

// Hook is told of events. It writes through tx, which is in the operation's transaction
// where there is one; it must not keep tx. It may run again if the transaction is
// retried after a deadlock, so effects outside the database belong after the call. On
// Cloudflare D1 it runs before the batch that the operation is, and cannot read through tx
// what that will write.
type Hook func(tx *gorm.DB, e Event) error
