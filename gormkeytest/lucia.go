package gormkeytest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
	"github.com/gormkey/gormkey/tables"
)

var luciaCases = []testCase{
	{"lucia/each documented schema is left as it is, and works", luciaSchemas},
	{"lucia/tokens are stored as they are, hashes are Lucia's", luciaForms},
	{"lucia/stored tokens are hashed, and nobody is signed out", luciaHashTokens},
	{"lucia/R20 a legacy hash becomes one of Lucia's", luciaLegacy},
	{"lucia/WithHashedTokens wants WithLuciaV2", luciaRefused},
	{"import/users and keys with hashes of other systems", importHashes},
}

// luciaSchema is one of the schemas that Lucia's documentation shows (lucia-auth/lucia,
// branch v2, documentation/content), with user as a name of the users' table.
type luciaSchema struct {
	name, dialect, users string
	ddl                  []string
}

var luciaDocumented = []luciaSchema{
	{"better-sqlite3", "sqlite", "user", []string{
		"CREATE TABLE `user` (id TEXT NOT NULL PRIMARY KEY, username TEXT)",
		"CREATE TABLE user_key (id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL, hashed_password TEXT, FOREIGN KEY (user_id) REFERENCES `user`(id))",
		"CREATE TABLE user_session (id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL, active_expires INTEGER NOT NULL, idle_expires INTEGER NOT NULL, country TEXT, FOREIGN KEY (user_id) REFERENCES `user`(id))",
	}},
	{"d1 and libsql", "sqlite", "user", []string{
		"CREATE TABLE `user` (id VARCHAR(15) NOT NULL PRIMARY KEY, username VARCHAR(31))",
		"CREATE TABLE user_key (id VARCHAR(255) NOT NULL PRIMARY KEY, user_id VARCHAR(15) NOT NULL, hashed_password VARCHAR(255), FOREIGN KEY (user_id) REFERENCES `user`(id))",
		"CREATE TABLE user_session (id VARCHAR(127) NOT NULL PRIMARY KEY, user_id VARCHAR(15) NOT NULL, active_expires BIGINT NOT NULL, idle_expires BIGINT NOT NULL, country VARCHAR(2), FOREIGN KEY (user_id) REFERENCES `user`(id))",
	}},
	{"Drizzle sqlite", "sqlite", "user", []string{
		"CREATE TABLE `user` (`id` text PRIMARY KEY NOT NULL, `username` text)",
		"CREATE TABLE `user_key` (`id` text PRIMARY KEY NOT NULL, `user_id` text NOT NULL, `hashed_password` text, FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action)",
		"CREATE TABLE `user_session` (`id` text PRIMARY KEY NOT NULL, `user_id` text NOT NULL, `active_expires` blob NOT NULL, `idle_expires` blob NOT NULL, `country` text, FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action)",
	}},
	{"pg and postgres.js", "postgres", "auth_user", []string{
		"CREATE TABLE auth_user (id TEXT NOT NULL PRIMARY KEY, username TEXT)",
		"CREATE TABLE user_key (id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL REFERENCES auth_user(id), hashed_password TEXT)",
		"CREATE TABLE user_session (id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL REFERENCES auth_user(id), active_expires BIGINT NOT NULL, idle_expires BIGINT NOT NULL, country TEXT)",
	}},
	{"Drizzle pg", "postgres", "auth_user", []string{
		`CREATE TABLE "auth_user" ("id" varchar(15) PRIMARY KEY NOT NULL, "username" varchar(31))`,
		`CREATE TABLE "user_key" ("id" varchar(255) PRIMARY KEY NOT NULL, "user_id" varchar(15) NOT NULL, "hashed_password" varchar(255))`,
		`CREATE TABLE "user_session" ("id" varchar(128) PRIMARY KEY NOT NULL, "user_id" varchar(15) NOT NULL, "active_expires" bigint NOT NULL, "idle_expires" bigint NOT NULL, "country" varchar(2))`,
		`ALTER TABLE "user_key" ADD CONSTRAINT "user_key_user_id_auth_user_id_fk" FOREIGN KEY ("user_id") REFERENCES "auth_user"("id") ON DELETE no action ON UPDATE no action`,
		`ALTER TABLE "user_session" ADD CONSTRAINT "user_session_user_id_auth_user_id_fk" FOREIGN KEY ("user_id") REFERENCES "auth_user"("id") ON DELETE no action ON UPDATE no action`,
	}},
	{"mysql2", "mysql", "auth_user", []string{
		"CREATE TABLE auth_user (id VARCHAR(15) NOT NULL PRIMARY KEY, username VARCHAR(31))",
		"CREATE TABLE user_key (id VARCHAR(255) NOT NULL PRIMARY KEY, user_id VARCHAR(15) NOT NULL, hashed_password VARCHAR(255), FOREIGN KEY (user_id) REFERENCES auth_user(id))",
		"CREATE TABLE user_session (id VARCHAR(127) NOT NULL PRIMARY KEY, user_id VARCHAR(15) NOT NULL, active_expires BIGINT UNSIGNED NOT NULL, idle_expires BIGINT UNSIGNED NOT NULL, country VARCHAR(2), FOREIGN KEY (user_id) REFERENCES auth_user(id))",
	}},
	{"PlanetScale, its commas mended", "mysql", "auth_user", []string{
		"CREATE TABLE auth_user (id VARCHAR(15) NOT NULL PRIMARY KEY, username VARCHAR(31))",
		"CREATE TABLE user_key (id VARCHAR(255) NOT NULL PRIMARY KEY, user_id VARCHAR(15) NOT NULL, hashed_password VARCHAR(255))",
		"CREATE TABLE user_session (id VARCHAR(127) NOT NULL PRIMARY KEY, user_id VARCHAR(15) NOT NULL, active_expires BIGINT UNSIGNED NOT NULL, idle_expires BIGINT UNSIGNED NOT NULL, country VARCHAR(2))",
	}},
	{"Drizzle mysql", "mysql", "auth_user", []string{
		"CREATE TABLE `auth_user` (`id` varchar(15) NOT NULL, `username` varchar(31), CONSTRAINT `auth_user_id` PRIMARY KEY(`id`))",
		"CREATE TABLE `user_key` (`id` varchar(255) NOT NULL, `user_id` varchar(15) NOT NULL, `hashed_password` varchar(255), CONSTRAINT `user_key_id` PRIMARY KEY(`id`))",
		"CREATE TABLE `user_session` (`id` varchar(128) NOT NULL, `user_id` varchar(15) NOT NULL, `active_expires` bigint NOT NULL, `idle_expires` bigint NOT NULL, `country` varchar(2), CONSTRAINT `user_session_id` PRIMARY KEY(`id`))",
		"ALTER TABLE `user_key` ADD CONSTRAINT `user_key_user_id_auth_user_id_fk` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE no action ON UPDATE no action",
		"ALTER TABLE `user_session` ADD CONSTRAINT `user_session_user_id_auth_user_id_fk` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE no action ON UPDATE no action",
	}},
}

var inlineForeignKey = regexp.MustCompile(`(?i), FOREIGN KEY .*\)| REFERENCES auth_user\(id\)`)

// reader is a user of a Lucia database, and visit its session.
type reader struct {
	gormkey.User
	Username string `gorm:"size:31"`
}

type visit struct {
	gormkey.Session[reader]
	Country string `gorm:"size:2"`
}

// luciaTables makes the tables of a schema, and a plugin for them.
func luciaTables(s *suite, schema luciaSchema, opts ...gormkey.Option) (*gorm.DB, *gormkey.PluginOf[*reader, *gormkey.Key[reader], *visit]) {
	s.Helper()
	db := s.newDB(s.T)
	for _, statement := range schema.ddl {
		if s.refusesForeignKeys() {
			if strings.HasPrefix(statement, "ALTER") {
				continue
			}
			statement = inlineForeignKey.ReplaceAllString(statement, "")
			if strings.Count(statement, "(") > strings.Count(statement, ")") {
				statement += ")"
			}
		}
		must(s, db.Exec(statement).Error)
	}
	opts = append([]gormkey.Option{gormkey.WithLuciaV2(), gormkey.WithTableNames(gormkey.TableNames{User: schema.users})}, opts...)
	return db, gormkey.NewOf[reader, gormkey.Key[reader], visit](append(slices.Clone(s.options), opts...)...)
}

// luciaMigrated makes the tables of a schema, and adds those of the plugin's options.
func luciaMigrated(s *suite, schema luciaSchema, opts ...gormkey.Option) (*gorm.DB, *gormkey.RepositoryOf[*reader, *gormkey.Key[reader], *visit]) {
	s.Helper()
	db, plugin := luciaTables(s, schema, opts...)
	must(s, db.Use(plugin))
	must(s, plugin.AutoMigrate(db))
	pending, err := plugin.PendingSQL(db)
	must(s, err)
	equal(s, schema.name+": pending", strings.Join(pending, "; "), "")
	auth, err := plugin.Repository()
	must(s, err)
	return db, auth
}

// ofDialect returns the documented schemas of the database's dialect.
func ofDialect(s *suite) (list []luciaSchema) {
	s.Helper()
	dialect := s.newDB(s.T).Name()
	for _, schema := range luciaDocumented {
		if schema.dialect == dialect {
			list = append(list, schema)
		}
	}
	return list
}

func luciaSchemas(s *suite) {
	for _, schema := range ofDialect(s) {
		clock := NewClock()
		db, plugin := luciaTables(s, schema, gormkey.WithClock(clock.Now))
		before := catalog(s, db)
		record := recordDDL(db)
		must(s, db.Use(plugin))
		must(s, plugin.AutoMigrate(db))
		must(s, db.AutoMigrate(plugin.Models()...))
		if sent := record.taken(); len(sent) > 0 {
			s.Errorf("%s: AutoMigrate sent %q", schema.name, sent)
		}
		equal(s, schema.name, catalog(s, db), before)
		pending, err := plugin.PendingSQL(db)
		must(s, err)
		equal(s, schema.name+": pending", len(pending), 0)
		auth, err := plugin.Repository()
		must(s, err)
		luciaFlow(s, schema, db, auth, clock)
		findings, err := auth.Audit(s.Context())
		must(s, err)
		for _, f := range findings {
			if f.Problem == tables.ProblemOrphans || f.Problem == tables.ProblemMissingColumn || f.Problem == tables.ProblemMissingTable {
				s.Errorf("%s: %v", schema.name, f)
			}
		}
	}
}

// luciaFlow takes users through every stage, with rows as Lucia writes them between.
func luciaFlow(s *suite, schema luciaSchema, db *gorm.DB, auth *gormkey.RepositoryOf[*reader, *gormkey.Key[reader], *visit], clock *Clock) {
	s.Helper()
	ctx := s.Context()
	step := func(what string, err error) {
		s.Helper()
		if err != nil {
			s.Fatalf("%s: %s: %v", schema.name, what, err)
		}
	}
	ada := &reader{Username: "ada"}
	step("CreateUser", auth.CreateUser(ctx, ada, email("ada@x")))
	opened, err := auth.SignIn(ctx, email("ada@x"))
	step("SignIn", err)
	clock.Advance(ActivePeriod + time.Second)
	renewed, err := auth.ValidateSession(ctx, opened.Token)
	step("renewal", err)
	equal(s, schema.name+": renewed", renewed.Fresh, true)
	_, err = auth.UpdateSessionAttributes(ctx, renewed.ID, map[string]any{"country": "NO"})
	step("UpdateSessionAttributes", err)

	// A session of Lucia's, stored as its driver would, and as Drizzle stores it.
	now := clock.Now().UnixMilli()
	token := gormkey.Token(strings.Repeat("a1b2", 10))
	insert := "INSERT INTO user_session (id, user_id, active_expires, idle_expires) VALUES (?, ?, ?, ?)"
	if strings.HasPrefix(schema.name, "Drizzle sqlite") {
		insert = strings.Replace(insert, "?, ?)", "CAST(? AS BLOB), CAST(? AS BLOB))", 1)
		step("insert", db.Exec(insert, string(token), ada.ID, fmt.Sprint(now-1), fmt.Sprint(now+5000)).Error)
	} else {
		step("insert", db.Exec(insert, string(token), ada.ID, now-1, now+5000).Error)
	}
	theirs, err := auth.ValidateSession(ctx, token)
	step("a session of Lucia's", err)
	equal(s, schema.name+": user", theirs.User.Username, "ada")
	equal(s, schema.name+": renewed", theirs.Fresh, true)
	sessions, err := auth.UserSessions(ctx, ada.ID)
	step("UserSessions", err)
	equal(s, schema.name+": sessions", len(sessions), 2)
	_, err = auth.ValidateSession(ctx, gormkey.Token(strings.ToUpper(string(token))))
	wantErr(s, schema.name+": another letter case", err, gormkey.ErrInvalidSession)

	step("insert", db.Exec(insert, strings.Repeat("c3d4", 10), ada.ID, fmt.Sprint(now-1), fmt.Sprint(now+5000)).Error) // never renewed
	clock.Advance(400 * 24 * time.Hour)
	n, err := auth.DeleteExpired(ctx)
	step("DeleteExpired", err)
	equal(s, schema.name+": dead sessions", n, 3)
	_, err = auth.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))
	step("AddKey", err)
	_, err = auth.OpenSession(ctx, ada.ID)
	step("OpenSession", err)
	_, err = auth.OpenSession(ctx, "nobody")
	wantErr(s, schema.name+": a session of nobody", err, gormkey.ErrUserNotFound)
	wantErr(s, schema.name+": taken key", auth.CreateUser(ctx, &reader{Username: "eve"}, email("ada@x")), gormkey.ErrDuplicateKey)
	step("DeleteUser", auth.DeleteUser(ctx, ada.ID))
	for _, table := range []string{schema.users, "user_key", "user_session"} {
		equal(s, schema.name+": rows of "+table, count(s, db, table), 0)
	}
}

func luciaForms(s *suite) {
	f := open[reader](s, s.newDB(s.T), gormkey.WithLuciaV2(), gormkey.WithPasswordHasher(password.Lucia{}))
	ctx := s.Context()
	ada := &reader{Username: "ada"}
	short := email("ada@x")
	short.Password = "\xff" // no policy, and JavaScript's idea of it
	must(s, f.CreateUser(ctx, ada, short))
	key, err := f.GetKey(ctx, keyID("email", "ada@x"))
	must(s, err)
	if !strings.HasPrefix(string(*key.HashedPassword), "s2:") {
		s.Error("the hash is not Lucia's")
	}
	short.Password = "\ufffd"
	session, err := f.SignIn(ctx, short)
	must(s, err)
	equal(s, "stored id", string(session.ID), string(session.Token))
	equal(s, "length", len(session.Token), 40)
	must(s, f.SignOut(ctx, session.Token))
	equal(s, "sessions", count(s, f.db, "user_session"), 0)

	// An id that looks like a hash is one: as it is, it signs nobody in.
	session, err = f.OpenSession(ctx, ada.ID)
	must(s, err)
	hashed := session.Token.ID()
	must(s, f.db.Exec("UPDATE user_session SET id = ?", hashed).Error)
	_, err = f.ValidateSession(ctx, gormkey.Token(hashed))
	wantErr(s, "a stolen hash", err, gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, session.Token) // which another process has hashed
	must(s, err)
	own, err := f.OpenSession(ctx, ada.ID, func(d *gormkey.Session[reader]) { d.Token = gormkey.Token(strings.Repeat("ab12", 16)) })
	must(s, err)
	equal(s, "id of a token like a hash", own.ID, own.Token.ID())
	wantErr(s, "an empty password", f.CreateUser(ctx, &reader{}, gormkey.Credentials{Provider: "github", ID: "1"}), gormkey.ErrInvalidArgument)
	_, err = f.HashStoredTokens(ctx)
	wantErr(s, "HashStoredTokens without WithHashedTokens", err, gormkey.ErrUsage)
}

func luciaHashTokens(s *suite) {
	f := open[reader](s, s.newDB(s.T), gormkey.WithLuciaV2(), gormkey.WithPasswordHasher(FastHasher()))
	ctx := s.Context()
	ada := &reader{Username: "ada"}
	must(s, f.CreateUser(ctx, ada, email("ada@x")))
	var tokens []gormkey.Token
	for range 25 {
		session, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		tokens = append(tokens, session.Token)
	}
	next := s.again(f.db)
	plugin := newPlugin[reader](s, gormkey.WithLuciaV2(), gormkey.WithHashedTokens(), gormkey.WithClock(f.clock.Now), gormkey.WithPasswordHasher(FastHasher()))
	must(s, next.Use(plugin))
	auth, err := gormkey.From[reader](next)
	must(s, err)
	session, err := auth.SignIn(ctx, email("ada@x"), auth.Replacing(tokens[24]))
	must(s, err)
	equal(s, "stored id of a new session", session.ID, session.Token.ID())
	tokens[24] = session.Token
	all := func(when string) {
		s.Helper()
		for i, token := range tokens {
			for name, r := range map[string]*gormkey.Repository[reader]{"old": f.RepositoryOf, "new": auth} {
				if _, err := r.ValidateSession(ctx, token); err != nil {
					s.Errorf("%s, token %d, %s: %v", when, i, name, err)
				}
			}
		}
	}
	all("before")
	stop := fmt.Errorf("stop")
	n, err := auth.HashStoredTokens(ctx, gormkey.WithBatchSize(10), gormkey.WithProgress(func(int64) error { return stop }))
	wantErr(s, "stopped", err, stop)
	if n < 1 || n > 10 {
		s.Errorf("replaced %d before it was stopped", n)
	}
	all("half way")
	// A row that is turned over while its token is looked for is found all the same.
	r := record(next)
	moving, err := gormkey.From[reader](next)
	must(s, err)
	validate := func(t gormkey.Token) error { _, err := moving.ValidateSession(ctx, t); return err }
	signOut := func(t gormkey.Token) error { return moving.SignOut(ctx, t) }
	for i, use := range []func(gormkey.Token) error{validate, signOut, validate, signOut} {
		session, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		seen := 0
		r.mu.Lock()
		r.inject = func(sql string) error {
			if seen++; seen == 1+i/2 {
				// Inside a transaction of SQLite it would wait for that to end. It gets the error of a busy
				// database at once then, and the call begins again.
				return f.db.Connection(func(db *gorm.DB) error {
					db = db.Session(&gorm.Session{})
					if db.Name() == "sqlite" && !s.batches {
						defer db.Exec("PRAGMA busy_timeout = 5000") // a libSQL takes neither, and does not wait
						db.Exec("PRAGMA busy_timeout = 10")
					}
					return db.Exec("UPDATE user_session SET id = ? WHERE id = ?", session.Token.ID(), string(session.Token)).Error
				})
			}
			return nil
		}
		r.mu.Unlock()
		err = use(session.Token)
		r.mu.Lock()
		r.inject = nil
		r.mu.Unlock()
		must(s, err)
		_, err = auth.ValidateSession(ctx, session.Token)
		if i%2 == 0 {
			must(s, err)
			must(s, auth.SignOut(ctx, session.Token))
		} else {
			wantErr(s, "signed out while it moved", err, gormkey.ErrInvalidSession)
		}
	}
	more, err := auth.HashStoredTokens(ctx, gormkey.WithBatchSize(10))
	must(s, err)
	equal(s, "replaced", n+more, 24)
	more, err = auth.HashStoredTokens(ctx)
	must(s, err)
	equal(s, "replaced again", more, 0)
	all("after")
	equal(s, "sessions", count(s, f.db, "user_session"), 25)
	equal(s, "tokens in the table", count(s, f.db, "user_session", "LENGTH(id) <> 64"), 0)
	must(s, auth.SignOut(ctx, tokens[0]))
	_, err = f.ValidateSession(ctx, tokens[0])
	wantErr(s, "after signing out", err, gormkey.ErrInvalidSession)
}

// luciaLegacy signs in on hashes that lucia@2.7.7 verifies (its vectors).
func luciaLegacy(s *suite) {
	f := open[reader](s, s.newDB(s.T), gormkey.WithLuciaV2(), gormkey.WithPasswordHasher(password.Lucia{}))
	ctx := s.Context()
	ada := &reader{Username: "ada"}
	login := gormkey.Imported("username", "ada", password.Hash(legacyHash))
	must(s, f.CreateUser(ctx, ada, login))
	login = gormkey.Credentials{Provider: "username", ID: "ada", Password: "wrong"}
	_, err := f.SignIn(ctx, login)
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	login.Password = goodPassword
	_, err = f.SignIn(ctx, login)
	must(s, err)
	key, err := f.GetKey(ctx, keyID("username", "ada"))
	must(s, err)
	if !strings.HasPrefix(string(*key.HashedPassword), "s2:") {
		s.Error("the legacy hash was not replaced")
	}
	_, err = f.SignIn(ctx, login)
	must(s, err)
}

func luciaRefused(s *suite) {
	err := s.newDB(s.T).Use(newPlugin[reader](s, gormkey.WithHashedTokens()))
	if err == nil || !strings.Contains(err.Error(), "WithLuciaV2") {
		s.Errorf("WithHashedTokens alone: got %v", err)
	}
}

func importHashes(s *suite) {
	hasher := &countingHasher{Hasher: FastHasher()}
	f := s.accounts(gormkey.WithPasswordHasher(hasher))
	ctx := s.Context()
	for i, hash := range []string{legacyHash, bcryptHash, djangoHash} {
		login := gormkey.Imported("email", fmt.Sprint(i), password.Hash(hash))
		a := &account{Email: fmt.Sprint(i)}
		if i == 0 {
			must(s, f.CreateUser(ctx, a, login))
		} else {
			must(s, f.CreateUser(ctx, a))
			_, err := f.AddKey(ctx, a.ID, login)
			must(s, err)
		}
		equal(s, "hashes made by the import", hasher.Calls.Load(), int64(0))
		_, err := f.SignIn(ctx, login)
		wantErr(s, "signing in with the hash", err, gormkey.ErrUsage)
		login = email(login.ID)
		_, err = f.SignIn(ctx, login)
		must(s, err)
		key, err := f.GetKey(ctx, keyID("email", login.ID))
		must(s, err)
		if !strings.HasPrefix(string(*key.HashedPassword), "$argon2id$") {
			s.Errorf("hash %d was not replaced", i)
		}
		_, err = f.UseKey(ctx, login)
		must(s, err)
		hasher.Calls.Store(0)
	}
	for name, c := range map[string]gormkey.Credentials{
		"unknown format": gormkey.Imported("email", "x", "{SSHA}abc"), "too much work": gormkey.Imported("email", "x", "$2a$20$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"),
		"too long": gormkey.Imported("email", "x", password.Hash(strings.Repeat("x", 256))),
	} {
		err := f.CreateUser(ctx, &account{Email: "x"}, c)
		wantErr(s, name, err, gormkey.ErrInvalidArgument)
		if strings.Contains(fmt.Sprintf("%v %+v", err, c), bcryptHash) {
			s.Errorf("%s: the hash is shown", name)
		}
	}
	equal(s, "users", count(s, f.db, "auth_user"), 3)
}

// Hashes of goodPassword: Lucia's older form (node:crypto, verified by lucia@2.7.7),
// bcrypt of cost 4 (libxcrypt), Django's PBKDF2 (Python's hashlib).
const (
	legacyHash = "k3v9x0q2w8e7r6t5:5af7e6b9ea1f485eb976d14ae495f68e98d16c88006d68b4781f7ae6e29d717e71fb3b12dc65c0ccdba0fa045f297c019467ff92cd17d0571737751c5edfd887"
	bcryptHash = "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG"
	djangoHash = "pbkdf2_sha256$1000$djangosalt12$Gw0gUt+sMDBJM6fIBjWlQKE1sdhmegG/5vn3if1lncU="
)
