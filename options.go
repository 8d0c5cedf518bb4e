package gormkey

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/internal/random"
	"github.com/gormkey/gormkey/password"
)

// Option changes a default of [New]. All options are checked together when db.Use registers the
// plugin. Each message names the option, its value and the bound.
type Option func(*options)

// Defaults of the options.
const (
	defaultActivePeriod = 24 * time.Hour      // Lucia's
	defaultIdlePeriod   = 14 * 24 * time.Hour // Lucia's
)

// maxPeriod bounds every period: ten years.
const maxPeriod = 10 * 365 * 24 * time.Hour

// TableNames are the tables of one user type. An empty name keeps the default. A name may be
// qualified by a schema, as in "auth.users". Token is the table of [WithOneTimeTokens],
// Suspension that of [WithSuspension], and Event that of [WithEventLog].
type TableNames struct{ User, Key, Session, Token, Suspension, Event string }

// options are the settings of a plugin. They are complete after setDefaults and validateUserID;
// only userIDMax is set later, by leaveTablesAlone.
type options struct {
	tables           TableNames
	userIDLength     int
	userIDType       string
	newUserID        func() string
	active, idle     time.Duration
	absolute         time.Duration
	hasAbsolute      bool
	facts            bool // sessions have the columns of factColumns
	clock            func() time.Time
	hasher           password.Any
	limiter          *password.Limiter
	passwordPolicy   func(string) error
	hooks            []event.Hook
	after            []func(context.Context, event.Event)
	notBefore        UnixMilli // sessions that were opened earlier are dead
	tokens           bool      // there is a table of one-time tokens
	suspension       bool      // there is a table of suspensions
	eventLog         bool      // there is a table of events
	delivery         bool      // … and DeliverEvents goes through it
	eventSecret      []byte    // makes names that nobody has comparable there
	eventSecretGiven bool
	owned            []any // models of the application whose rows belong to users
	inexactIDs       bool
	unknownServer    bool
	generatesDefault bool // newUserID is ours
	noForeignKeys    bool
	planetScale      bool
	lucia            bool // tables and tokens are Lucia v2's
	userIDMax        int  // … the width of its column of user ids, once it is known
	hashTokens       bool // … and the tokens are on their way to be hashed
	hasherGiven      bool
	policyGiven      bool
	idType           engine.Type // of the option userIDType, once the database is known
}

// defaultOptions are the values that do not depend on the other options or on the database.
// setDefaults adds the rest.
func defaultOptions() options {
	return options{
		userIDLength:     userIDLength,
		generatesDefault: true,
		newUserID:        func() string { return random.String(userIDLength) },
		active:           defaultActivePeriod,
		idle:             defaultIdlePeriod,
		clock:            time.Now,
	}
}

// WithTableNames sets the tables' names. They are auth_user, user_key, user_session and
// user_token by default. Each part of a name is 1 to 63 bytes of letters, digits, "_", "$" and
// "-". The names must differ even without their schema.
//
// On SQLite a name has no schema, and only ASCII letters, since GORM's migrator reads back no
// others. On PostgreSQL the names of indexes and constraints, which GORM derives from the
// table's, have at most 63 bytes too.
func WithTableNames(names TableNames) Option { return func(o *options) { o.tables = names } }

// WithUserIDLength sets the width of the user id column and of every user_id, in bytes: 8 to 255,
// 15 by default. Generated ids keep 15 characters, or fewer if fewer fit.
//
// You may raise it at any time: [PluginOf.AutoMigrate] makes the columns wider, and longer ids
// are refused until it has. If a column is wider than the option says, db.Use refuses with a
// [tables.ColumnError].
func WithUserIDLength(length int) Option { return func(o *options) { o.userIDLength = length } }

// WithUserIDGenerator sets the function that makes the id of a user who has none. It must return
// another valid id each time: no blank at either end, and at most the column's length. It is
// called concurrently, and once by db.Use to check it.
func WithUserIDGenerator(generate func() string) Option {
	return func(o *options) { o.newUserID, o.generatesDefault = generate, false }
}

// WithUserIDType sets the SQL type of the user id column and of every user_id, such as "uuid" or
// "bigint", instead of a text. It needs [WithUserIDGenerator], unless the type is a text of 8 or
// more, such as "varbinary(36)" on MySQL. An id that a column of the type would not return in the
// same form is an [ArgumentError].
func WithUserIDType(sqlType string) Option { return func(o *options) { o.userIDType = sqlType } }

// WithSessionPeriods sets how long a session is active, 1 day by default, and how long it is idle
// after that, 14 days by default. Each is 1 ms to ten years, in whole milliseconds.
func WithSessionPeriods(active, idle time.Duration) Option {
	return func(o *options) { o.active, o.idle = active, idle }
}

// WithAbsoluteLifetime ends every session this long after it was opened, however often it is
// renewed (OWASP ASVS 7.3.2; NIST SP 800-63B-4 § 2.1.3 asks for a definite end, and recommends 30
// days at most). It is off by default, and at least the active period, at most ten years. It adds
// the column absolute_expires. For sessions that already exist, the lifetime starts at their next
// renewal.
func WithAbsoluteLifetime(lifetime time.Duration) Option {
	return func(o *options) { o.absolute, o.hasAbsolute = lifetime, true }
}

// WithAAL1 sets the lifetimes that NIST SP 800-63B-4, 2.1.3, gives for assurance level 1: a session
// ends 30 days after the user showed who they are, however often it is renewed. It is
// [WithAbsoluteLifetime] with 30 days.
func WithAAL1() Option { return WithAbsoluteLifetime(30 * 24 * time.Hour) }

// WithAAL2 sets the lifetimes that NIST SP 800-63B-4, 2.2.3, gives for assurance level 2: a session
// ends 24 hours after the user showed who they are, and at most an hour after it was last used. It is
// [WithAbsoluteLifetime] with 24 hours and [WithSessionPeriods] with 5 and 55 minutes, so a session
// that is in use is renewed every 5 minutes. Level 2 also asks for two factors.
func WithAAL2() Option {
	return func(o *options) {
		WithAbsoluteLifetime(24 * time.Hour)(o)
		WithSessionPeriods(5*time.Minute, 55*time.Minute)(o)
	}
}

// WithSessionsNotBefore makes every session dead that was opened before a time, from the moment at
// which the process starts: after an incident, for example. Its cost is a comparison. A session
// that does not know when it was opened counts as older. To delete their rows too, call
// [RepositoryOf.EndSessionsOfEveryone]. It needs [WithSessionFacts].
func WithSessionsNotBefore(t time.Time) Option {
	return func(o *options) { o.notBefore = max(1, UnixMilli(t.UnixMilli())) }
}

// WithClock sets the clock, time.Now by default. It is called concurrently. A test can turn it
// forward.
func WithClock(now func() time.Time) Option { return func(o *options) { o.clock = now } }

// WithPasswordHasher sets the hasher of new passwords, [password.Argon2id] by default. Hashes of
// all formats that [password.Any] reads can be verified as well. If the hasher calls a hash
// outdated, the next sign-in replaces it.
func WithPasswordHasher(hasher password.Hasher) Option {
	return func(o *options) { o.hasher, o.hasherGiven = password.Any{Hasher: hasher}, true }
}

// WithPasswordLimiter sets the limiter that bounds how many passwords are hashed at once. By
// default each plugin has its own, with GOMAXPROCS places. Give several plugins the same one, so
// that they share the memory that it bounds.
func WithPasswordLimiter(limiter *password.Limiter) Option {
	return func(o *options) { o.limiter = limiter }
}

// WithPasswordPolicy sets the check of new passwords. By default they have at least 8 characters
// (OWASP ASVS 6.2.1; it strongly recommends 15, and NIST SP 800-63B-4 § 3.1.1.2 asks for 15 where
// the password is the only factor: see [password.NIST]) and are not common ones (OWASP ASVS 6.2.4):
// see [password.Default]. Its error is shown inside an [ArgumentError],
// so it must not quote the password. It runs before anything is hashed, and not at a sign-in. Look
// up passwords that are known to be stolen here: see package password/pwned.
func WithPasswordPolicy(check func(password string) error) Option {
	return func(o *options) { o.passwordPolicy, o.policyGiven = check, true }
}

// WithOneTimeTokens adds the table of [OneTimeToken], for links that are sent by mail:
// verification of an address, password reset, sign-in. See [RepositoryOf.IssueToken].
func WithOneTimeTokens() Option { return func(o *options) { o.tokens = true } }

// WithInsecureInexactIDs leaves id columns on MySQL and MariaDB as varchar with the server's
// collation, as an older schema may have them. Statements then compare bytes in addition. The
// column's unique constraint cannot, so "github:AbC" and "github:abc" cannot both be keys.
func WithInsecureInexactIDs() Option { return func(o *options) { o.inexactIDs = true } }

// WithInsecureUnknownServer accepts a server that speaks the protocol of MySQL or PostgreSQL and
// is not known to keep their row locks. Without these locks a session may outlive the password
// change or the deletion that should have ended it. Run gormkeytest's races on the server before
// you rely on it.
func WithInsecureUnknownServer() Option { return func(o *options) { o.unknownServer = true } }

// WithoutForeignKeys keeps FOREIGN KEY out of the plugin's tables, for databases that do not take
// it, and keeps their rows whole without it. A key or session of a missing user is refused with
// [gorm.ErrForeignKeyViolated], and a user's keys and sessions are deleted with the user: for the
// application's plain GORM calls too. The constraints of other tables stay, and every user_id is
// indexed as before.
//
// It does not see raw SQL, updates of user_id or of a user's id, and deletes that the database
// makes by itself: [RepositoryOf.Audit] finds the rows that they leave. A table that has the
// constraint keeps it until [PluginOf.DropForeignKeys].
func WithoutForeignKeys() Option { return func(o *options) { o.noForeignKeys = true } }

// WithPlanetScale fits the MySQL dialect to Vitess, and so to PlanetScale. It includes
// [WithoutForeignKeys]. The application's models get no FOREIGN KEY either, by gorm.Config's
// DisableForeignKeyConstraintWhenMigrating. GORM's migrator is told the database's name: it does
// not find the name there by itself, and would create its tables twice.
func WithPlanetScale() Option {
	return func(o *options) { o.noForeignKeys, o.planetScale = true, true }
}

// settings are the options that the engine needs to know.
func (o *options) settings() engine.Settings {
	return engine.Settings{InexactIDs: o.inexactIDs, Vitess: o.planetScale, Unknown: o.unknownServer}
}

// validate reports every option that is out of bounds, all at once, so nobody has to start a
// program five times to find five mistakes. validateUserID checks the options whose bounds depend
// on the database.
func (o *options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	checkPeriod := func(option, name string, d time.Duration) {
		if d < time.Millisecond || d > maxPeriod || d%time.Millisecond != 0 {
			bad("%s: %s is %v, outside whole milliseconds from 1ms to %v", option, name, d, maxPeriod)
		}
	}
	checkPeriod("WithSessionPeriods", "active", o.active)
	checkPeriod("WithSessionPeriods", "idle", o.idle)
	if o.hasAbsolute {
		checkPeriod("WithAbsoluteLifetime", "lifetime", o.absolute)
		if o.absolute < o.active {
			bad("WithAbsoluteLifetime: lifetime is %v, under the active period of %v", o.absolute, o.active)
		}
	}
	errs = append(errs, o.checkAdditions()...)
	if o.userIDLength < 8 || o.userIDLength > 255 {
		bad("WithUserIDLength: length is %d, outside 8 to 255 bytes", o.userIDLength)
	}
	for _, f := range []struct {
		option string
		isNil  bool
	}{
		{"WithUserIDGenerator", o.newUserID == nil}, {"WithClock", o.clock == nil}, {"WithPasswordHasher", o.hasherGiven && o.hasher.Hasher == nil},
		{"WithPasswordPolicy", o.policyGiven && o.passwordPolicy == nil},
	} {
		if f.isNil {
			bad("%s: is nil", f.option)
		}
	}
	for _, hook := range o.hooks {
		if hook == nil {
			bad("WithHook: is nil")
		}
	}
	for _, f := range o.after {
		if f == nil {
			bad("WithAfterCommit: is nil")
		}
	}
	if o.notBefore != 0 && !o.facts {
		bad("WithSessionsNotBefore: needs WithSessionFacts, which remembers when a session was opened")
	}
	if err := o.hasher.Validate(); err != nil {
		bad("WithPasswordHasher: %w", err)
	}
	if o.hashTokens && !o.lucia {
		bad("WithHashedTokens: goes with WithLuciaV2; without it tokens are hashed anyway")
	}
	errs = append(errs, o.tables.validate(), o.checkEventOptions())
	return errors.Join(errs...)
}

// setDefaults completes the options that were not given. With [WithLuciaV2] hashes are Lucia's
// and there is no policy, because a Lucia works on the same rows.
func (o *options) setDefaults() {
	if o.limiter == nil {
		o.limiter = password.NewLimiter(0, 0, 0)
	}
	if !o.hasherGiven && o.lucia {
		o.hasher = password.Any{Hasher: password.Lucia{}}
	}
	if !o.policyGiven {
		o.passwordPolicy = password.Default()
		if o.lucia {
			o.passwordPolicy = func(string) error { return nil }
		}
	}
}

// validateUserID checks the options whose bounds depend on the database, and calls the
// application's generator once: a generator of upper-case uuids, for example, is refused at the
// start and not by the first sign-up.
func (o *options) validateUserID(e engine.Engine) error {
	if o.userIDType != "" {
		o.idType = e.ParseType(o.userIDType)
		if slices.Contains(gormWords, strings.ToLower(strings.TrimSpace(o.userIDType))) || o.idType.Family == "" && !e.LooseTypes() {
			return fmt.Errorf("WithUserIDType: %q is no SQL type for ids", o.userIDType)
		}
	}
	if o.generatesDefault {
		length := min(o.userIDLength, userIDLength)
		if o.userIDType != "" {
			if !o.idType.TakesText(8) {
				return fmt.Errorf("WithUserIDType: %q wants WithUserIDGenerator too, since the default generator makes no such ids", o.userIDType)
			}
			length = userIDLength
			if o.idType.Width > 0 {
				length = min(o.idType.Width, userIDLength)
			}
		}
		o.newUserID = func() string { return random.String(length) }
		return nil
	}
	if err := o.checkUserID(o.newUserID()); err != nil {
		return fmt.Errorf("WithUserIDGenerator: %w", err)
	}
	return nil
}

// maxUserID is the longest user id in bytes.
func (o *options) maxUserID() int {
	switch {
	case o.userIDType != "":
		return 255
	case o.userIDMax > 0:
		return o.userIDMax
	}
	return o.userIDLength
}

// uuidForm is the form in which PostgreSQL and MariaDB return a uuid.
var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// checkUserID refuses a text that cannot be a user's id, before it gets into a statement: a text
// that is too long or malformed, and one that the column's type would return in another form.
func (o *options) checkUserID(id string) error {
	if err := checkText("user id", id, o.maxUserID()); err != nil {
		return err
	}
	return checkHeld(o.idType, id)
}

// tablePart is one part of a table's name: a letter or "_", and then also digits, "$" and "-".
var tablePart = regexp.MustCompile(`^[\pL_][\pL\pN_$-]*$`)

// validate checks the names alone. checkNames asks later what the database at hand makes of them.
func (t TableNames) validate() error {
	var errs []error
	for _, n := range []struct{ field, name string }{{"User", t.User}, {"Key", t.Key}, {"Session", t.Session}, {"Token", t.Token}, {"Suspension", t.Suspension}, {"Event", t.Event}} {
		parts := strings.Split(n.name, ".")
		for _, part := range parts {
			if n.name != "" && (len(parts) > 2 || len(part) > 63 || !tablePart.MatchString(part)) {
				errs = append(errs, fmt.Errorf("WithTableNames: %s is %q, not table or schema.table, each of 1 to 63 bytes of letters, digits, \"_\", \"$\", \"-\"", n.field, n.name))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// now returns the clock's time in milliseconds.
func (o *options) now() UnixMilli { return UnixMilli(o.clock().UnixMilli()) }
