package gormkey

import (
	"strings"
	"time"

	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/password"
)

// The types of columns and values that callers meet. They come from package authtype, which has
// what they are in JSON, in a log and in a form.
type (
	// Token is a session's secret as the client keeps it, for example in a cookie. It prints, and
	// encodes, as "[redacted]": convert it to a string to send it.
	Token = authtype.Token
	// SessionID is the id of a session's row, 1 to 128 bytes. It signs nobody in, so a page
	// may list it and send it back.
	SessionID = authtype.SessionID
	// KeyID names a key: a provider of 1 to 64 bytes, and the user's id there, at most 255 bytes
	// together with the provider and a colon.
	KeyID = authtype.KeyID
	// Purpose is what a one-time token is good for: 1 to 32 characters of a–z, 0–9 and "-".
	Purpose = authtype.Purpose
	// UnixMilli is a moment in milliseconds since 1970-01-01 UTC, as Lucia stores it.
	UnixMilli = authtype.UnixMilli
)

// Default table names. A TablePrefix of the application's NamingStrategy is put before them, and its
// NoLowerCase makes them plural. Names that were given with [WithTableNames] are used as they are.
const (
	defaultUserTable    = "auth_user"
	defaultKeyTable     = "user_key"
	defaultSessionTable = "user_session"
	defaultTokenTable   = "user_token"

	defaultSuspensionTable = "user_suspension"
	defaultEventTable      = "auth_event"
)

// Widths of the id columns and of the password hash, in bytes.
const (
	keyIDSize        = 255
	sessionIDSize    = 128
	tokenIDSize      = 64
	hashSize         = 255
	purposeSize      = 32
	payloadSize      = 1024
	reasonSize       = 64
	suspensionIDSize = 20
	eventIDSize      = 40
	byIDSize         = 255
)

// User is the identity that an application embeds, by value, in its own user model:
//
//	type Account struct {
//		gormkey.User
//		Email string `gorm:"size:255;uniqueIndex"`
//	}
//
// It holds the id and nothing else; every other column belongs to the application.
// It has no String or MarshalJSON, which would be promoted and hide those columns.
type User struct {
	// ID is 15 characters of Lucia's alphabet (a–z, 0–9) unless set by the
	// application or changed with [WithUserIDLength] and [WithUserIDGenerator].
	// An empty ID is filled when the row is created, by plain GORM too.
	ID string `gorm:"column:id;primaryKey;not null;size:15" json:"id"`
}

// mustEmbedUser returns u. [New] requires it, so that a type without an embedded User does not
// compile, and the compiler's message says what is missing.
func (u *User) mustEmbedUser() *User { return u }

// TableName returns the default table name; see [WithTableNames].
func (User) TableName(namer schema.Namer) string { return namer.JoinTableName(defaultUserTable) }

// Key is one way for a user of type U to sign in: a provider, the user's id there, and the hash
// of a password if there is one. Embed it in a struct of your own, for [NewOf], to add columns.
// Its fields are those of [KeyOf].
type Key[U any] = KeyOf[*U]

// KeyOf has the fields of a [Key]. P is the pointer to the application's user type.
type KeyOf[P any] struct {
	// ID is provider + ":" + the user's id at the provider, at most 255 bytes.
	ID string `gorm:"column:id;primaryKey;not null;size:255" json:"id"`
	// UserID is the owner's id. It is always indexed.
	UserID string `gorm:"column:user_id;not null;size:15;index" json:"userId"`
	// HashedPassword is nil for a key without a password.
	HashedPassword *password.Hash `gorm:"column:hashed_password;size:255" json:"-"`
	// User is the owner where the key was loaded with it (Preload, Joins, UseKey).
	User P `gorm:"belongsTo;foreignKey:user_id;references:id;constraint:OnUpdate:CASCADE,OnDelete:CASCADE" json:"-"`
}

// mustEmbedKey returns k; see mustEmbedUser.
func (k *KeyOf[P]) mustEmbedKey() *KeyOf[P] { return k }

// KeyID returns the key's id in its two parts.
func (k *KeyOf[P]) KeyID() KeyID {
	provider, id, _ := strings.Cut(k.ID, ":")
	return KeyID{Provider: provider, ID: id}
}

// PasswordDefined reports whether the key has a password.
func (k *KeyOf[P]) PasswordDefined() bool { return k.HashedPassword != nil && *k.HashedPassword != "" }

// TableName returns the default table name; see [WithTableNames].
func (KeyOf[P]) TableName(namer schema.Namer) string { return namer.JoinTableName(defaultKeyTable) }

// Session is a signed-in device of a user of type U: active, then idle, then dead.
// Embed it in a struct of your own, for [NewOf], to add columns. Its fields are those of
// [SessionOf].
type Session[U any] = SessionOf[*U]

// SessionOf has the fields of a [Session]. P is the pointer to the application's user type.
type SessionOf[P any] struct {
	// ID is the SHA-256 of the token in lower-case hexadecimal, 64 characters. It
	// signs nobody in, so it may be listed, logged and used to end the session. With
	// [WithLuciaV2] the row holds the token itself; see [SessionID] for what is shown.
	ID SessionID `gorm:"column:id;primaryKey;not null;size:128" json:"id"`
	// UserID is the owner's id. It is always indexed.
	UserID string `gorm:"column:user_id;not null;size:15;index" json:"userId"`
	// ActiveExpires is the last millisecond of the active period.
	ActiveExpires UnixMilli `gorm:"column:active_expires;not null;type:bigint" json:"activeExpires"`
	// IdleExpires is the last millisecond in which the session is valid at all.
	IdleExpires UnixMilli `gorm:"column:idle_expires;not null;type:bigint;index" json:"idleExpires"`
	// AbsoluteExpires is the moment that no renewal passes. The column exists only with
	// [WithAbsoluteLifetime]. NULL reads as zero, and means that none is set yet.
	AbsoluteExpires UnixMilli `gorm:"column:absolute_expires;type:bigint" json:"-"`
	// OpenedAt is when the session was opened. This column and the four that follow exist only
	// with [WithSessionFacts]. The library alone writes them, so GORM's Create, Save and Updates
	// leave them out. NULL, in a row that something else wrote, reads as zero.
	OpenedAt UnixMilli `gorm:"column:opened_at;->;type:bigint" json:"-"`
	// AuthenticatedAt is when the user last showed who they are: at the sign-in, or by
	// Reauthenticate. Zero is never.
	AuthenticatedAt UnixMilli `gorm:"column:authenticated_at;->;type:bigint" json:"-"`
	// FactorAt is when the user last showed a second factor. Zero is never.
	FactorAt UnixMilli `gorm:"column:factor_at;->;type:bigint" json:"-"`
	// Methods are those by which the user showed it.
	Methods authtype.Methods `gorm:"column:methods;->;size:64" json:"-"`
	// Remembered is what was chosen at the sign-in by [RepositoryOf.Remembered], nil for nothing.
	Remembered *bool `gorm:"column:remembered;->;type:smallint" json:"-"`
	// Token is what the client keeps, for example in a cookie. It is set by the call that
	// received or made it, and is never stored.
	Token Token `gorm:"-" json:"-"`
	// Fresh is true after the session was opened or renewed by this call: send the
	// token to the client again, with the new expiry.
	Fresh bool `gorm:"-" json:"-"`
	// User is the owner where the session was loaded with it (ValidateSession,
	// SignIn, Preload, Joins).
	User P `gorm:"belongsTo;foreignKey:user_id;references:id;constraint:OnUpdate:CASCADE,OnDelete:CASCADE" json:"-"`
	// wishes returns what the caller asked for. It is set only while a session is being made. It is
	// a function and no struct because fmt would print the tokens in it.
	wishes func() wishes
}

// mustEmbedSession returns s; see mustEmbedUser.
func (s *SessionOf[P]) mustEmbedSession() *SessionOf[P] { return s }

// State returns whether the session is active, idle or dead at a time.
func (s *SessionOf[P]) State(at time.Time) SessionState { return s.stateAt(UnixMilli(at.UnixMilli())) }

// stateAt compares the stored milliseconds, without a conversion that could lose one.
func (s *SessionOf[P]) stateAt(now UnixMilli) SessionState {
	switch {
	case now > s.IdleExpires:
		return StateDead
	case now > s.ActiveExpires:
		return StateIdle
	default:
		return StateActive
	}
}

// TableName returns the default table name; see [WithTableNames].
func (SessionOf[P]) TableName(namer schema.Namer) string {
	return namer.JoinTableName(defaultSessionTable)
}

// OneTimeToken is a secret that was sent to a user of type U, to be used once, for one purpose: a
// link to reset a password, for example. Its table exists with [WithOneTimeTokens]. Its fields are
// those of [OneTimeTokenOf].
type OneTimeToken[U any] = OneTimeTokenOf[*U]

// OneTimeTokenOf has the fields of a [OneTimeToken]. P is the pointer to the application's user
// type.
type OneTimeTokenOf[P any] struct {
	// ID is the SHA-256 of the token in lower-case hexadecimal, 64 characters.
	ID string `gorm:"column:id;primaryKey;not null;size:64" json:"id"`
	// UserID is the owner's id. It is always indexed.
	UserID string `gorm:"column:user_id;not null;size:15;index" json:"userId"`
	// Purpose is what the token is good for. It is refused for any other purpose.
	Purpose Purpose `gorm:"column:purpose;not null;size:32" json:"purpose"`
	// Payload is a text that the application bound to the token, such as the address to which it
	// was sent: at most 1024 bytes.
	Payload string `gorm:"column:payload;not null;size:1024" json:"payload"`
	// Expires is the last millisecond in which it can be used.
	Expires UnixMilli `gorm:"column:expires;not null;type:bigint;index" json:"expires"`
	// User is the owner where the token was loaded with it (GetToken, UseToken, Preload).
	User P `gorm:"belongsTo;foreignKey:user_id;references:id;constraint:OnUpdate:CASCADE,OnDelete:CASCADE" json:"-"`
}

// TableName returns the default table name; see [WithTableNames].
func (OneTimeTokenOf[P]) TableName(namer schema.Namer) string {
	return namer.JoinTableName(defaultTokenTable)
}

// The purposes that operations of the repository know. An application may have others.
const (
	PurposeVerifyEmail   Purpose = "verify-email"   // the payload is the address
	PurposeChangeEmail   Purpose = "change-email"   // the payload is the new address
	PurposeResetPassword Purpose = "reset-password" // the payload is the key's id; see [RepositoryOf.ResetPassword]
	PurposeMagicLink     Purpose = "magic-link"     // see [RepositoryOf.SignInWithToken]
)

// SessionState is a stage in a session's life. The last millisecond of a stage belongs to it.
type SessionState string

const (
	StateActive SessionState = "active" // valid as it is
	StateIdle   SessionState = "idle"   // valid, and renewed by ValidateSession
	StateDead   SessionState = "dead"   // no longer valid
)

// UserModel is satisfied by a pointer to any struct that embeds [User].
type UserModel[U any] interface {
	*U
	mustEmbedUser() *User
}

// KeyModel is satisfied by *[Key] and by a pointer to any struct that embeds it.
type KeyModel[U, K any] interface {
	*K
	mustEmbedKey() *Key[U]
}

// SessionModel is satisfied by *[Session] and by a pointer to any struct that embeds it.
type SessionModel[U, S any] interface {
	*S
	mustEmbedSession() *Session[U]
}
