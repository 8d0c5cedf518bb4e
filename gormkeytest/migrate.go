package gormkeytest

import (
	"context"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
)

var migrateCases = []testCase{
	{"migrate/migrating twice sends no DDL", migrateTwice},
	{"migrate/plain AutoMigrate makes the same tables", migratePlainly},
	{"migrate/many processes migrate at once", migrateAtOnce},
	{"migrate/a refused plugin's tables are not migrated", migrateRefusedPlugin},
	{"migrate/AutoMigrate refuses", migrateRefuses},
	{"migrate/columns added later, rows kept", migrateColumnsLater},
	{"migrate/an application's table that points at the user", migrateReference},
	{"migrate/plain AutoMigrate loses no rows", migrateRebuildGuard},
}

// ddl records the statements that change a schema.
type ddl struct {
	logger.Interface
	mu   sync.Mutex
	sent []string
}

func recordDDL(db *gorm.DB) *ddl {
	d := &ddl{Interface: logger.Discard}
	db.Config.Logger = d
	return d
}

func (d *ddl) LogMode(logger.LogLevel) logger.Interface { return d }

func (d *ddl) Trace(_ context.Context, _ time.Time, fc func() (string, int64), _ error) {
	sql, _ := fc()
	for _, verb := range []string{"CREATE", "ALTER", "DROP", "COMMENT", "INSERT", "UPDATE", "DELETE"} {
		if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(sql)), verb) {
			d.mu.Lock()
			d.sent = append(d.sent, sql)
			d.mu.Unlock()
		}
	}
}

func (d *ddl) taken() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	sent := d.sent
	d.sent = nil
	return sent
}

func migrateTwice(s *suite) {
	for _, absolute := range []bool{false, true} {
		db := s.newDB(s.T)
		record := recordDDL(db)
		opts := []gormkey.Option{}
		if absolute {
			opts = append(opts, gormkey.WithAbsoluteLifetime(30*24*time.Hour))
		}
		plugin := newAccounts(s, opts...)
		must(s, db.Use(plugin))
		must(s, plugin.AutoMigrate(db))
		first := strings.Join(record.taken(), "\n")
		wanted := []string{"auth_user", "user_key", "user_session", "idx_user_key_user_id", "idx_user_session_user_id", "country", "verified"}
		if s.declared {
			wanted = append(wanted, "FOREIGN KEY", "ON DELETE CASCADE")
		} else if strings.Contains(first, "FOREIGN KEY") || strings.Contains(first, "REFERENCES") {
			s.Errorf("without foreign keys got:\n%s", first)
		}
		for _, want := range wanted {
			if !strings.Contains(first, want) {
				s.Errorf("the first run lacks %q:\n%s", want, first)
			}
		}
		must(s, db.Create(&account{User: gormkey.User{ID: "row"}, Email: "row@example.com"}).Error)
		must(s, db.Create(&login{Key: gormkey.Key[account]{ID: "email:row", UserID: "row"}}).Error)
		must(s, db.Create(&device{Session: gormkey.Session[account]{ID: "row", UserID: "row"}}).Error)
		record.taken() // from here on with rows, whose values some drivers report as the columns' sizes
		must(s, plugin.AutoMigrate(db))
		must(s, db.AutoMigrate(plugin.Models()...))
		if again := record.taken(); len(again) > 0 {
			s.Errorf("the second run sent %q", again)
		}
		other := s.again(db)
		record = recordDDL(other)
		next := newAccounts(s, opts...)
		must(s, other.Use(next))
		must(s, next.AutoMigrate(other))
		if again := record.taken(); len(again) > 0 {
			s.Errorf("another process sent %q", again)
		}
	}
}

func migratePlainly(s *suite) {
	ours, plain := s.newDB(s.T), s.newDB(s.T)
	a, b := recordDDL(ours), recordDDL(plain)
	p, q := newAccounts(s), newAccounts(s)
	must(s, ours.Use(p))
	must(s, plain.Use(q))
	must(s, p.AutoMigrate(ours))
	must(s, plain.AutoMigrate(q.Models()...))
	equal(s, "DDL", strings.Join(b.taken(), "\n"), strings.Join(a.taken(), "\n"))
}

func migrateAtOnce(s *suite) {
	db := s.newDB(s.T)
	type Note struct {
		ID   uint
		Text string `gorm:"size:64"`
	}
	const processes = 8
	errs := make([]error, processes)
	handles := make([]*gorm.DB, processes)
	for i := range handles {
		handles[i] = s.again(db)
	}
	atOnce(repeat(processes, func(i int) {
		plugin := newAccounts(s)
		if errs[i] = handles[i].Use(plugin); errs[i] == nil {
			errs[i] = plugin.AutoMigrate(handles[i], &Note{})
		}
	})...)
	for i, err := range errs {
		if err != nil {
			s.Errorf("process %d: %v", i, err)
		}
	}
	equal(s, "table", handles[0].Migrator().HasTable("notes"), true)
}

type post struct {
	ID        uint
	AccountID string
	Account   *account
}

func migrateRefusedPlugin(s *suite) {
	db := s.newDB(s.T)
	bad := newAccounts(s, gormkey.WithUserIDLength(3))
	if err := db.Use(bad); err == nil {
		s.Fatal("got no error")
	}
	err := db.AutoMigrate(bad.Models()...)
	wantErr(s, "plain AutoMigrate", err, gormkey.ErrNotRegistered)
	wantErr(s, "AutoMigrate", bad.AutoMigrate(db), gormkey.ErrNotRegistered)
	equal(s, "table", db.Migrator().HasTable("auth_user"), false)
	type Unrelated struct{ ID uint }
	must(s, db.AutoMigrate(&Unrelated{}))
}

func migrateRefuses(s *suite) {
	db := s.newDB(s.T)
	plugin := newAccounts(s)
	wantErr(s, "before Use", plugin.AutoMigrate(db), gormkey.ErrNotRegistered)
	must(s, db.Use(plugin))
	wantErr(s, "nil", plugin.AutoMigrate(nil), gormkey.ErrUsage)
	wantErr(s, "DryRun", plugin.AutoMigrate(db.Session(&gorm.Session{DryRun: true})), gormkey.ErrUsage)
	wantErr(s, "another database", plugin.AutoMigrate(s.newDB(s.T)), gormkey.ErrUsage)
	err := db.Transaction(func(tx *gorm.DB) error { return plugin.AutoMigrate(tx) })
	if db.Name() == "postgres" {
		must(s, err)
	} else {
		wantErr(s, "in a transaction", err, gormkey.ErrUsage)
	}
	cancelled, cancel := context.WithCancel(s.Context())
	cancel()
	if err := plugin.AutoMigrate(db.WithContext(cancelled)); err == nil {
		s.Error("cancelled: got no error")
	}
	must(s, plugin.AutoMigrate(db))
}

// v1 and v2 are one user model before and after a release that makes GORM rebuild the
// table on SQLite.
type v1 struct {
	gormkey.User
	Email string `gorm:"size:64"`
	Age   int
}

func (v1) TableName() string { return "members" }

type v2 struct {
	gormkey.User
	Email string `gorm:"size:64;unique"`
	Age   int    `gorm:"check:age >= 0"`
	Nick  string `gorm:"size:32"`
}

func (v2) TableName() string { return "members" }

func migrateColumnsLater(s *suite) {
	old := open[v1](s, s.newDB(s.T))
	ctx := s.Context()
	u := &v1{Email: "u@example.com", Age: 7}
	must(s, old.CreateUser(ctx, u, email("u@example.com")))
	session, err := old.SignIn(ctx, email("u@example.com"))
	must(s, err)

	next := s.again(old.db)
	plugin := newPlugin[v2](s, gormkey.WithClock(old.clock.Now), gormkey.WithPasswordHasher(FastHasher()))
	must(s, next.Use(plugin))
	must(s, plugin.AutoMigrate(next))
	auth, err := gormkey.From[v2](next)
	must(s, err)
	got, err := auth.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "age", got.User.Age, 7)
	wantErr(s, "new unique column", auth.CreateUser(ctx, &v2{Email: "u@example.com"}), gormkey.ErrDuplicateAttribute)
	err = next.Create(&gormkey.Key[v2]{ID: "email:orphan", UserID: "nobody"}).Error
	if err == nil {
		s.Error("foreign keys are off after the migration")
	}
	must(s, auth.DeleteUser(ctx, u.ID))
	equal(s, "sessions", count(s, next, "user_session"), 0)
}

func migrateReference(s *suite) {
	f := s.accounts()
	must(s, f.db.AutoMigrate(&post{}))
	ada := signUp(s, f, "ada")
	must(s, f.db.Create(&post{AccountID: ada.ID}).Error)
	if err := f.db.Create(&post{AccountID: "nobody"}).Error; s.enforced && err == nil {
		s.Error("a post of nobody: got no error")
	}
	var got post
	must(s, f.db.Preload("Account").First(&got).Error)
	equal(s, "Preload", got.Account.Email, ada.Email)
	if s.enforced {
		wantErr(s, "deleting a user that a post needs", f.DeleteUser(s.Context(), ada.ID), gorm.ErrForeignKeyViolated)
		equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 0}) // and its key is still there
		if err := f.db.Delete(ada).Error; err == nil {
			s.Error("a plain delete of a user that a post needs: got no error")
		}
		equal(s, "rows after a plain delete", rows(s, f.db), [3]int64{1, 1, 0})
	}
	must(s, f.db.Delete(&post{}, got.ID).Error)
	must(s, f.DeleteUser(s.Context(), ada.ID))
}

func migrateRebuildGuard(s *suite) {
	old := open[v1](s, s.newDB(s.T))
	ctx := s.Context()
	u := &v1{Email: "u@example.com", Age: 7}
	must(s, old.CreateUser(ctx, u, email("u@example.com")))
	_, err := old.SignIn(ctx, email("u@example.com"))
	must(s, err)
	next := s.again(old.db)
	plugin := newPlugin[v2](s)
	must(s, next.Use(plugin))
	err = next.AutoMigrate(plugin.Models()...)
	if next.Name() == "sqlite" && s.enforced && s.declared && (err == nil || !strings.Contains(err.Error(), "Plugin.AutoMigrate") || !strings.Contains(err.Error(), "age >= 0") && !strings.Contains(err.Error(), "UNIQUE")) {
		s.Errorf("a rebuild of the users' table: got %v", err)
	}
	if next.Name() != "sqlite" || !s.enforced || !s.declared {
		must(s, err)
	}
	equal(s, "users", count(s, next, "members"), 1)
	equal(s, "keys", count(s, next, "user_key"), 1)
	equal(s, "sessions", count(s, next, "user_session"), 1)
}
