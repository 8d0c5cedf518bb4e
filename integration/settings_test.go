package integration_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
	"github.com/gormkey/gormkey/tables"
)

var login = gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}

// TestMySQLNoAutocommit: with autocommit=0 a read keeps its snapshot on the connection that
// it gives back, so that an ended session would validate. It is refused.
func TestMySQLNoAutocommit(t *testing.T) {
	onEach(t, mysqlServers, func(t *testing.T, s *server) {
		db := open(t, mysql.Open(s.newDSN(t, "autocommit", "0")), &gorm.Config{})
		err := db.Use(app.New())
		if err == nil || !strings.Contains(err.Error(), "autocommit=0") {
			t.Errorf("got error %v, want one that names autocommit=0", err)
		}
		if _, err := gormkey.From[app.Account](db); !errors.Is(err, gormkey.ErrNotRegistered) {
			t.Errorf("got error %v, want %v", err, gormkey.ErrNotRegistered)
		}
	})
}

// TestPostgresMigrateRepeatableRead: a transaction's snapshot must not be older than the
// lock that it waited for.
func TestPostgresMigrateRepeatableRead(t *testing.T) {
	postgresServer.connected(t)
	dsn := postgresDSN(newPostgres(t), "default_transaction_isolation", "'repeatable read'")
	const processes = 8
	errs := make([]error, processes)
	var wg sync.WaitGroup
	for i := range processes {
		db := open(t, postgres.Open(dsn), &gorm.Config{})
		wg.Go(func() {
			plugin := gormkey.New[app.Account]()
			errs[i] = errors.Join(db.Use(plugin), plugin.AutoMigrate(db))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// TestMySQLInsecureInexactIDs: on columns that compare inexactly nobody reads or writes
// another's rows all the same.
func TestMySQLInsecureInexactIDs(t *testing.T) {
	onEach(t, mysqlServers, func(t *testing.T, s *server) {
		db := s.open(t)
		plugin := gormkey.New[app.Account](gormkey.WithInsecureInexactIDs(), gormkey.WithPasswordHasher(gormkeytest.FastHasher()))
		app.Must(t, db.Use(plugin))
		app.Must(t, plugin.AutoMigrate(db))
		auth, err := gormkey.From[app.Account](db)
		app.Must(t, err)
		ctx := t.Context()
		alice := &app.Account{User: gormkey.User{ID: "alice-alice"}, Email: "alice@example.com"}
		app.Must(t, auth.CreateUser(ctx, alice, login))
		session, err := auth.SignIn(ctx, login)
		app.Must(t, err)
		for _, id := range []string{"ALICE-alice", "álice-alice"} {
			if _, err := auth.GetUser(ctx, id); !errors.Is(err, gormkey.ErrUserNotFound) {
				t.Errorf("GetUser(%q): got %v", id, err)
			}
			if _, err := auth.AddKey(ctx, id, gormkey.Proved("github", "1")); !errors.Is(err, gormkey.ErrUserNotFound) {
				t.Errorf("AddKey(%q): got %v", id, err)
			}
			app.Must(t, auth.EndAllSessions(ctx, id))
			app.Must(t, auth.DeleteUser(ctx, id))
		}
		shouting := login
		shouting.ID = "ADA@example.com"
		if _, err := auth.SignIn(ctx, shouting); !errors.Is(err, gormkey.ErrInvalidCredentials) {
			t.Errorf("SignIn(%q): got %v", shouting.ID, err)
		}
		if _, err := auth.OverwritePassword(ctx, shouting, ""); !errors.Is(err, gormkey.ErrKeyNotFound) {
			t.Errorf("OverwritePassword(%q): got %v", shouting.ID, err)
		}
		app.Must(t, auth.RemoveKey(ctx, alice.ID, shouting.KeyID(), gormkey.AllowLastKey()))
		if _, err := auth.ValidateSession(ctx, session.Token); err != nil {
			t.Errorf("alice's session: %v", err)
		}
	})
}

// TestMySQLLatin1: bytes are compared as the connection writes them, also where a column
// of another character set holds others.
func TestMySQLLatin1(t *testing.T) {
	onEach(t, mysqlServers, func(t *testing.T, s *server) {
		db := open(t, mysql.Open(s.newDSN(t, "interpolateParams", "true")), &gorm.Config{})
		for _, statement := range []string{
			"CREATE TABLE auth_user (id varchar(15) PRIMARY KEY, email varchar(255)) CHARACTER SET latin1",
			"CREATE TABLE user_key (id varchar(255) PRIMARY KEY, user_id varchar(15) NOT NULL, hashed_password varchar(255)) CHARACTER SET latin1",
			"CREATE TABLE user_session (id varchar(127) PRIMARY KEY, user_id varchar(15) NOT NULL, active_expires bigint unsigned NOT NULL, idle_expires bigint unsigned NOT NULL) CHARACTER SET latin1",
		} {
			app.Must(t, db.Exec(statement).Error)
		}
		auth := app.Install(t, db, app.New(gormkey.WithLuciaV2()))
		ctx := t.Context()
		app.Must(t, auth.CreateUser(ctx, &app.Account{User: gormkey.User{ID: "josé"}, Email: "josé@example.com"}, app.Email("josé@example.com")))
		session, err := auth.SignIn(ctx, app.Email("josé@example.com"))
		app.Must(t, err)
		_, err = auth.ValidateSession(ctx, session.Token)
		app.Must(t, err)
		if _, err := auth.SignIn(ctx, app.Email("jose@example.com")); !errors.Is(err, gormkey.ErrInvalidCredentials) {
			t.Errorf("without the accent: got %v", err)
		}
		app.Must(t, auth.DeleteUser(ctx, "josé"))
	})
}

// TestPostgresDeleteRepeatableRead: where the server's default hides what a delete has to
// see, GORM's own transaction around a plain delete is put at READ COMMITTED.
func TestPostgresDeleteRepeatableRead(t *testing.T) {
	postgresServer.connected(t)
	dsn := postgresDSN(newPostgres(t), "default_transaction_isolation", "'repeatable read'")
	db := open(t, postgres.Open(dsn), &gorm.Config{})
	auth := app.Install(t, db, app.New(gormkey.WithoutForeignKeys()))
	app.Flow(t, auth)
	ada := &app.Account{Email: "ada@example.com"}
	app.Must(t, auth.CreateUser(t.Context(), ada, login))
	app.Must(t, db.Delete(ada).Error)
	if _, err := auth.GetKey(t.Context(), gormkey.KeyID{Provider: login.Provider, ID: login.ID}); !errors.Is(err, gormkey.ErrKeyNotFound) {
		t.Errorf("the key of a deleted user: got %v", err)
	}
	err := db.Transaction(func(tx *gorm.DB) error { return tx.Delete(ada).Error })
	if !errors.Is(err, gormkey.ErrUsage) {
		t.Errorf("in the caller's transaction: got %v, want %v", err, gormkey.ErrUsage)
	}
}

// TestPostgresSchemaDelete: however a delete names the users' table, their keys go too.
func TestPostgresSchemaDelete(t *testing.T) {
	postgresServer.connected(t)
	byText := func(tx *gorm.DB, id string) error { return tx.Where("id = ?", id).Delete(&app.Account{}).Error }
	byNothing := func(tx *gorm.DB, id string) error { return tx.Where("id = ?", id).Delete(nil).Error }
	byStruct := func(tx *gorm.DB, id string) error {
		return tx.Delete(&app.Account{User: gormkey.User{ID: id}}).Error
	}
	for _, c := range []struct {
		path    string
		options []gormkey.Option
		names   []string
	}{
		{"shop", nil, []string{"auth_user", "shop.auth_user", `"shop"."auth_user"`, "shop.auth_user AS u", "shop.auth_user u"}},
		{"shop,public", nil, []string{"auth_user", "shop.auth_user", "shop.auth_user u"}},
		{"public", []gormkey.Option{gormkey.WithTableNames(gormkey.TableNames{User: "shop.users", Key: "shop.logins"})}, []string{"shop.users", "shop.users u"}},
	} {
		dsn := newPostgres(t)
		app.Must(t, open(t, postgres.Open(dsn), &gorm.Config{}).Exec("CREATE SCHEMA shop").Error)
		db := open(t, postgres.Open(postgresDSN(dsn, "search_path", c.path)), &gorm.Config{})
		auth := app.Install(t, db, app.New(append(c.options, gormkey.WithoutForeignKeys())...))
		for _, name := range c.names {
			forms := map[string]func(*gorm.DB, string) error{"by text": byText, "without a model": byNothing}
			if !strings.HasSuffix(name, "u") { // where GORM itself would name the model's table
				forms["by struct"] = byStruct
			}
			for form, remove := range forms {
				ada := &app.Account{Email: "ada@example.com"}
				app.Must(t, auth.CreateUser(t.Context(), ada, login))
				if err := remove(db.Table(name), ada.ID); err != nil {
					t.Fatalf("%s of %q: %v", form, name, err)
				}
				if _, err := auth.GetKey(t.Context(), gormkey.KeyID{Provider: login.Provider, ID: login.ID}); !errors.Is(err, gormkey.ErrKeyNotFound) {
					t.Fatalf("%s of %q: the key of a deleted user: got %v", form, name, err)
				}
			}
		}
	}
}

// TestMySQLQuotedCreate: however the session has names quoted where a table is shown, its
// foreign keys are found.
func TestMySQLQuotedCreate(t *testing.T) {
	mysqlServer.connected(t)
	for name, parameters := range map[string][]string{
		"ANSI_QUOTES": {"sql_mode", "'ANSI_QUOTES,STRICT_TRANS_TABLES'"},
		"no quotes":   {"sql_quote_show_create", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, mysql.Open(newMySQL(t, parameters...)), &gorm.Config{})
			auth := app.Install(t, db, app.New())
			findings, err := auth.Audit(t.Context())
			app.Must(t, err)
			if len(findings) > 0 {
				t.Errorf("got findings %v, want none", findings)
			}
			app.Flow(t, auth)
		})
	}
}

// TestPostgresCitextElsewhere: a type's name is the same wherever its extension is.
func TestPostgresCitextElsewhere(t *testing.T) {
	postgresServer.connected(t)
	db := openPostgres(t)
	for _, statement := range []string{
		"CREATE SCHEMA extensions",
		"CREATE EXTENSION citext SCHEMA extensions",
		"CREATE DOMAIN address AS extensions.citext",
		"CREATE TABLE auth_user (id varchar(15) PRIMARY KEY, email varchar(255))",
		"CREATE TABLE user_key (id address PRIMARY KEY, user_id varchar(15) NOT NULL, hashed_password varchar(255))",
		"CREATE TABLE user_session (id extensions.citext PRIMARY KEY, user_id varchar(15) NOT NULL, active_expires bigint NOT NULL, idle_expires bigint NOT NULL)",
	} {
		app.Must(t, db.Exec(statement).Error)
	}
	findings, err := app.Install(t, db, app.New()).Audit(t.Context())
	app.Must(t, err)
	for _, table := range []string{"user_key", "user_session"} {
		if !slices.ContainsFunc(findings, func(f tables.Finding) bool {
			return f.Problem == tables.ProblemInexactID && f.Table == table && f.Column == "id"
		}) {
			t.Errorf("got findings %v, want an inexact id of %s", findings, table)
		}
	}
}
