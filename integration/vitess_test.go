package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// Vitess cannot make databases: the tests take turns with its keyspaces, which they
// leave empty.
var vitessKeyspaces = make(chan string, 10)

func init() {
	for i := range cap(vitessKeyspaces) {
		vitessKeyspaces <- fmt.Sprintf("gk%d", i)
	}
}

func openVitess(t testing.TB) *gorm.DB {
	t.Helper()
	_, db := takeKeyspace(t)
	return db
}

// takeKeyspace returns a keyspace of the test's own, and a handle on it.
func takeKeyspace(t testing.TB) (string, *gorm.DB) {
	t.Helper()
	vitessServer.connected(t)
	var keyspace string
	select {
	case keyspace = <-vitessKeyspaces:
	case <-time.After(5 * time.Minute):
		t.Fatalf("no keyspace is free: a case takes more than %d", cap(vitessKeyspaces))
	}
	t.Cleanup(func() { vitessKeyspaces <- keyspace })
	return keyspace, openKeyspace(t, keyspace)
}

func openKeyspace(t testing.TB, keyspace string) *gorm.DB {
	t.Helper()
	vitessServer.connected(t)
	db := open(t, mysql.Open(mysqlDSN(t, vitessServer, keyspace)), &gorm.Config{})
	t.Cleanup(func() { emptyKeyspace(t, db) })
	return db
}

// emptyKeyspace drops the tables. A list of them may be older than the last DDL statement, so
// one that is gone is no error, and the list has to be empty in the end.
func emptyKeyspace(t testing.TB, db *gorm.DB) {
	for try := 1; ; try++ {
		var tables []string
		app.Must(t, db.Raw("SHOW TABLES").Scan(&tables).Error)
		if len(tables) == 0 {
			return
		}
		if try == 100 {
			t.Fatalf("%d tables are left: %q", len(tables), tables)
		}
		for _, table := range tables {
			app.Must(t, db.Exec("DROP TABLE IF EXISTS `"+table+"`").Error)
		}
		if try > 1 { // nothing tells when vtgate has heard of it
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// tracked repeats what vtgate answers by VT09015 as long as it has not heard of a DDL
// statement yet.
func tracked(statement func() error) (err error) {
	for range 600 {
		if err = statement(); err == nil || !strings.Contains(err.Error(), "VT09015") {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// TestVitess runs one case at a time, since a case takes several keyspaces. By the time
// that it begins, as one of the parallel tests, the other tests of Vitess have ended.
func TestVitess(t *testing.T) { vitessServer.run(t, openVitess, gormkeytest.PlanetScale()) }

// TestVitessSameName: nobody outside knows whether PlanetScale's keyspaces have the names
// of the databases below.
func TestVitessSameName(t *testing.T) {
	vitessServer.connected(t)
	app.Flow(t, app.Install(t, openKeyspace(t, "gkeq"), app.New(gormkey.WithPlanetScale())))
}

// TestVitessRefusesForeignKeys: what the tests above run on is in the mode that they are for.
func TestVitessRefusesForeignKeys(t *testing.T) {
	db := openVitess(t)
	err := db.Exec("CREATE TABLE child (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES parent (id))").Error
	if err == nil || !strings.Contains(err.Error(), "VT10001") {
		t.Errorf("a FOREIGN KEY: got %v, want VT10001", err)
	}
	plugin := app.New()
	app.Must(t, db.Use(plugin))
	if err := plugin.AutoMigrate(db); err == nil || !strings.Contains(err.Error(), "VT10001") {
		t.Errorf("a plugin with foreign keys: got %v, want VT10001", err)
	}
}

// TestVitessSharded: users with their keys and sessions on two shards, as the VSchema of
// integration/vitess has it. A key's id is unique over both.
func TestVitessSharded(t *testing.T) {
	vitessServer.connected(t)
	ctx := t.Context()
	db := openKeyspace(t, "gks")
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale()))
	app.Flow(t, auth)
	for round := range 10 {
		login := app.Email(fmt.Sprintf("taken-%d@example.com", round))
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = auth.CreateUser(ctx, &app.Account{Email: fmt.Sprintf("%d-%d", round, i)}, login) })
		}
		wg.Wait()
		winners := 0
		for _, err := range errs {
			if err == nil {
				winners++
			} else if !errors.Is(err, gormkey.ErrDuplicateKey) {
				t.Errorf("round %d: got %v, want %v", round, err, gormkey.ErrDuplicateKey)
			}
		}
		if winners != 1 {
			t.Errorf("round %d: got %d winners, want 1", round, winners)
		}
		session, err := auth.SignIn(ctx, login)
		app.Must(t, err)
		create := func(i int) {
			err := db.Create(&gormkey.Session[app.Account]{ID: gormkey.SessionID(fmt.Sprintf("%d-%d", round, i)), UserID: session.UserID}).Error
			if err != nil && !errors.Is(err, gorm.ErrForeignKeyViolated) {
				t.Errorf("create: %v", err)
			}
		}
		for i := range 4 {
			wg.Go(func() { create(i) })
		}
		wg.Go(func() { app.Must(t, db.Delete(session.User).Error) })
		wg.Wait()
	}
	findings, err := auth.Audit(ctx)
	app.Must(t, err)
	if len(findings) > 0 {
		t.Errorf("audit: got %v, want nothing", findings)
	}
}

// TestVitessRowLimit: Vitess refuses a statement that deletes over 10,000 rows.
func TestVitessRowLimit(t *testing.T) {
	db := openVitess(t)
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale()))
	ctx := t.Context()
	const n = 10_500
	for name, remove := range map[string]func(ada *app.Account) error{
		"DeleteUser":     func(ada *app.Account) error { return auth.DeleteUser(ctx, ada.ID) },
		"a plain delete": func(ada *app.Account) error { return db.Delete(ada).Error },
		"EndAllSessions": func(ada *app.Account) error { return auth.EndAllSessions(ctx, ada.ID) },
	} {
		ada := &app.Account{Email: name}
		app.Must(t, auth.CreateUser(ctx, ada))
		sessions := make([]gormkey.Session[app.Account], n)
		for i := range sessions {
			sessions[i] = gormkey.Session[app.Account]{ID: gormkey.SessionID(fmt.Sprintf("s%d", i)), UserID: ada.ID}
		}
		app.Must(t, db.CreateInBatches(sessions, 2000).Error)
		if err := remove(ada); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var left int64
		if app.Must(t, db.Model(&gormkey.Session[app.Account]{}).Count(&left).Error); left != 0 {
			t.Fatalf("%s: got %d sessions, want none", name, left)
		}
	}
}

// TestVitessErrors: its errors quote the whole statement with its values; none of ours
// does, nor does the driver's error behind it.
func TestVitessErrors(t *testing.T) {
	db := openVitess(t)
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale()))
	ctx := t.Context()
	ada := &app.Account{User: gormkey.User{ID: "canary-user"}, Email: "canary-mail"}
	app.Must(t, auth.CreateUser(ctx, ada, app.Email("canary-key")))
	errs := map[string]error{"taken attribute": auth.CreateUser(ctx, &app.Account{Email: "canary-mail"}, app.Email("canary-other"))}
	_, errs["long attribute"] = auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Email": strings.Repeat("canary", 100)})
	app.Must(t, db.Exec("DROP TABLE user_session").Error)
	_, errs["no table"] = auth.SignIn(ctx, app.Email("canary-key"))
	for name, err := range errs {
		var driver *mysqldriver.MySQLError
		switch {
		case !errors.As(err, &driver) || driver.Number == 0:
			t.Errorf("%s: got %v, with no error of the driver behind it", name, err)
		case strings.Contains(err.Error()+driver.Error(), "canary"):
			t.Errorf("%s: %v; %v", name, err, driver)
		}
	}
}
