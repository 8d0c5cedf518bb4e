package gormkeytest

import (
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey"
)

// The application's own GORM calls, which a foreign key or the plugin's callbacks keep
// whole alike.
var integrityCases = []testCase{
	{"integrity/create for a missing user", integrityCreateMissing},
	{"integrity/create for a user who is there", integrityCreate},
	{"integrity/create in batches of thousands", integrityCreateBatches},
	{"integrity/delete in every form", integrityDelete},
	{"integrity/delete whose condition reads the children", integrityDeleteByChildren},
	{"integrity/delete of thousands", integrityDeleteThousands},
	{"integrity/a delete that fails half way leaves everything", integrityDeleteFails},
	{"integrity/a callback that keeps users", integrityForeignCallback},
	{"integrity/hooks and conditions of the application", integrityHooks},
	{"integrity/soft delete keeps keys and sessions", integritySoftDelete},
	{"integrity/another user type is left alone", integrityTwoTypes},
	{"integrity/statements of a plain call", integrityStatements},
	{"integrity/isolation of the caller's transaction", integrityIsolation},
	{"race/R07 plain deletes against plain creates", raceIntegrity},
}

// wantViolated is exact where the plugin answers, and any error where the database does,
// since GORM does not translate every driver's.
func wantViolated(s *suite, what string, err error) {
	s.Helper()
	if !isErr(err, gorm.ErrForeignKeyViolated) && (err == nil || !s.enforced || !s.declared) {
		s.Errorf("%s: got %v, want %v", what, err, gorm.ErrForeignKeyViolated)
	}
}

// owned is a user with the relations that an application may declare.
type owned struct {
	gormkey.User
	Email    string                   `gorm:"size:191"`
	Sessions []gormkey.Session[owned] `gorm:"foreignKey:UserID"`
	Keys     []gormkey.Key[owned]     `gorm:"foreignKey:UserID"`
}

type (
	ownedKey     = gormkey.Key[owned]
	ownedSession = gormkey.Session[owned]
)

// people makes four users, u0 to u3, each with a key and a session.
func people(s *suite, opts ...gormkey.Option) *fixture[owned] {
	s.Helper()
	f := open[owned](s, s.newDB(s.T), opts...)
	addPeople(s, f)
	return f
}

func addPeople(s *suite, f *fixture[owned]) {
	s.Helper()
	for i := range 4 {
		id := fmt.Sprintf("u%d", i)
		must(s, f.db.Create(&owned{User: gormkey.User{ID: id}, Email: id + "@x"}).Error)
		must(s, f.db.Create(&ownedKey{ID: "k:" + id, UserID: id}).Error)
		must(s, f.db.Create(&ownedSession{ID: gormkey.SessionID("s" + id), UserID: id}).Error)
	}
}

func clearPeople(s *suite, f *fixture[owned]) {
	s.Helper()
	for _, table := range []string{"user_session", "user_key", "auth_user"} {
		must(s, f.db.Exec("DELETE FROM "+table).Error)
	}
}

// withoutDefault is the handle with GORM's default transaction turned off.
func withoutDefault(db *gorm.DB) *gorm.DB {
	return db.Session(&gorm.Session{SkipDefaultTransaction: true})
}

func inTransaction(db *gorm.DB, work func(tx *gorm.DB) error) error {
	return db.Transaction(func(tx *gorm.DB) error { return work(tx) })
}

func integrityCreateMissing(s *suite) {
	f := people(s)
	ctx := s.Context()
	before := rows(s, f.db)
	for name, create := range map[string]func(db *gorm.DB) error{
		"key":        func(db *gorm.DB) error { return db.Create(&ownedKey{ID: "x", UserID: "nobody"}).Error },
		"session":    func(db *gorm.DB) error { return db.Create(&ownedSession{ID: "x", UserID: "nobody"}).Error },
		"no user id": func(db *gorm.DB) error { return db.Create(&ownedSession{ID: "x"}).Error },
		"another letter case": func(db *gorm.DB) error {
			return db.Create(&ownedSession{ID: "x", UserID: "U0"}).Error
		},
		"trailing blank": func(db *gorm.DB) error { return db.Create(&ownedSession{ID: "x", UserID: "u0 "}).Error },
		"batch": func(db *gorm.DB) error {
			return db.Create([]ownedSession{{ID: "x", UserID: "u0"}, {ID: "y", UserID: "nobody"}}).Error
		},
		"batch of pointers": func(db *gorm.DB) error {
			return db.Create([]*ownedSession{{ID: "x", UserID: "u0"}, {ID: "y", UserID: "nobody"}}).Error
		},
		"map": func(db *gorm.DB) error {
			return db.Model(&ownedKey{}).Create(map[string]any{"id": "x", "user_id": "nobody"}).Error
		},
		"map by Go's name": func(db *gorm.DB) error {
			return db.Model(&ownedKey{}).Create(map[string]any{"ID": "x", "UserID": "nobody"}).Error
		},
		"maps": func(db *gorm.DB) error {
			return db.Model(&ownedKey{}).Create([]map[string]any{{"id": "x", "user_id": "u0"}, {"id": "y", "user_id": "nobody"}}).Error
		},
		"pointer to maps": func(db *gorm.DB) error {
			return db.Model(&ownedKey{}).Create(&[]map[string]any{{"id": "y", "user_id": "nobody"}}).Error
		},
		"map by table": func(db *gorm.DB) error {
			return db.Table("user_key").Create(map[string]any{"id": "x", "user_id": "nobody"}).Error
		},
		"pointer in a map": func(db *gorm.DB) error {
			id := "nobody"
			return db.Model(&ownedKey{}).Create(map[string]any{"id": "x", "user_id": &id}).Error
		},
		"expression": func(db *gorm.DB) error {
			return db.Model(&ownedKey{}).Create(map[string]any{"id": "x", "user_id": gorm.Expr("LOWER(?)", "NOBODY")}).Error
		},
		"upsert": func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, UpdateAll: true}).Create(&ownedKey{ID: "k:u0", UserID: "nobody"}).Error
		},
		"Save":          func(db *gorm.DB) error { return db.Save(&ownedKey{ID: "x", UserID: "nobody"}).Error },
		"FirstOrCreate": func(db *gorm.DB) error { return db.FirstOrCreate(&ownedKey{ID: "x", UserID: "nobody"}).Error },
		"generics": func(db *gorm.DB) error {
			return gorm.G[ownedKey](db).Create(ctx, &ownedKey{ID: "x", UserID: "nobody"})
		},
		"generics in batches": func(db *gorm.DB) error {
			return gorm.G[ownedKey](db).CreateInBatches(ctx, &[]ownedKey{{ID: "x", UserID: "u0"}, {ID: "y", UserID: "nobody"}}, 2)
		},
		"written out with its schema": func(db *gorm.DB) error {
			return db.Table(home(s, f.db) + ".user_key").Create(map[string]any{"id": "x", "user_id": "nobody"}).Error
		},
		"table by a clause": func(db *gorm.DB) error {
			return db.Table("?", clause.Table{Name: "user_key"}).Create(map[string]any{"id": "x", "user_id": "nobody"}).Error
		},
		"INSERT clause": func(db *gorm.DB) error {
			return db.Clauses(clause.Insert{Table: clause.Table{Name: "user_key"}}).Create(&ownedKey{ID: "x", UserID: "nobody"}).Error
		},
		"another type of the same fields": func(db *gorm.DB) error {
			type alike ownedKey
			return db.Model(&ownedKey{}).Create(&alike{ID: "x", UserID: "nobody"}).Error
		},
		"nil in a map": func(db *gorm.DB) error {
			return db.Model(&ownedKey{}).Create(map[string]any{"id": "x", "user_id": (*sql.NullString)(nil)}).Error
		},
		"an upsert that assigns it": func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.Assignments(map[string]any{"user_id": "nobody"})}).
				Create(&ownedKey{ID: "k:u0", UserID: "u0"}).Error
		},
		"association of a user who is gone": func(db *gorm.DB) error {
			return db.Model(&owned{User: gormkey.User{ID: "nobody"}}).Association("Sessions").Append(&ownedSession{ID: "x"})
		},
	} {
		for mode, db := range map[string]*gorm.DB{"": f.db, ", no default transaction": withoutDefault(f.db)} {
			wantViolated(s, name+mode, create(db))
		}
		err := inTransaction(f.db, create)
		wantViolated(s, name+", in a transaction", err)
		if got := rows(s, f.db); got != before {
			s.Fatalf("%s: got rows %v, want %v", name, got, before)
		}
	}
	var owner string
	must(s, f.db.Raw("SELECT user_id FROM user_key WHERE id = ?", "k:u0").Scan(&owner).Error)
	equal(s, "owner after the upsert", owner, "u0")
}

func integrityCreate(s *suite) {
	f := people(s)
	ctx := s.Context()
	for mode, db := range map[string]*gorm.DB{"": f.db, "2": withoutDefault(f.db)} {
		must(s, db.Create(&ownedKey{ID: "k:a" + mode, UserID: "u0"}).Error)
		must(s, db.Create([]ownedSession{{ID: gormkey.SessionID("sa" + mode), UserID: "u0"}, {ID: gormkey.SessionID("sb" + mode), UserID: "u1"}}).Error)
		must(s, db.Model(&ownedKey{}).Create(map[string]any{"id": "k:map" + mode, "user_id": "u0"}).Error)
		must(s, db.Model(&ownedKey{}).Create(map[string]any{"id": "k:expr" + mode, "user_id": gorm.Expr("LOWER(?)", "U2")}).Error)
		must(s, db.Create(&ownedSession{ID: gormkey.SessionID("sn" + mode), User: &owned{User: gormkey.User{ID: "new" + mode}}}).Error)
		must(s, db.Create(&owned{User: gormkey.User{ID: "many" + mode}, Sessions: []ownedSession{{ID: gormkey.SessionID("sm" + mode)}}}).Error)
		must(s, db.Model(&owned{User: gormkey.User{ID: "u0"}}).Association("Sessions").Append(&ownedSession{ID: gormkey.SessionID("sp" + mode)}))
		must(s, gorm.G[ownedKey](db).Create(ctx, &ownedKey{ID: "k:g" + mode, UserID: "u3"}))
		must(s, db.Session(&gorm.Session{DryRun: true}).Create(&ownedKey{ID: "k:dry", UserID: "nobody"}).Error)
		db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Create(&ownedKey{ID: "k:dry", UserID: "nobody"}) })
	}
	equal(s, "rows", rows(s, f.db), [3]int64{4 + 4, 4 + 8, 4 + 10})
	equal(s, "orphans", orphans(s, f.db), 0)
	must(s, inTransaction(f.db, func(tx *gorm.DB) error { // a user of the same transaction
		if err := tx.Create(&owned{User: gormkey.User{ID: "tx"}}).Error; err != nil {
			return err
		}
		return tx.Create(&ownedKey{ID: "k:tx", UserID: "tx"}).Error
	}))
	noneInUse(s, f.db)
}

func integrityCreateBatches(s *suite) {
	f := open[owned](s, s.newDB(s.T))
	const n = 2500
	users, sessions := make([]owned, n), make([]ownedSession, n)
	for i := range n {
		users[i].ID = fmt.Sprintf("u%d", i)
		sessions[i] = ownedSession{ID: gormkey.SessionID(fmt.Sprintf("s%d", i)), UserID: users[i].ID}
	}
	must(s, f.db.CreateInBatches(users, 500).Error)
	must(s, f.db.CreateInBatches(sessions, 500).Error)
	equal(s, "rows", rows(s, f.db), [3]int64{n, 0, n})
	for i := range sessions {
		sessions[i].ID = gormkey.SessionID(fmt.Sprintf("t%d", i))
	}
	sessions[n-1].UserID = "nobody"
	wantViolated(s, "the last of thousands", f.db.CreateInBatches(sessions, 500).Error)
	equal(s, "rows after the refusal", rows(s, f.db), [3]int64{n, 0, n})
}

// home returns the schema or database of unqualified names.
func home(s *suite, db *gorm.DB) (name string) {
	s.Helper()
	query := map[string]string{"sqlite": "SELECT 'main'", "postgres": "SELECT current_schema()", "mysql": "SELECT DATABASE()"}[db.Name()]
	must(s, db.Session(&gorm.Session{NewDB: true}).Raw(query).Scan(&name).Error)
	return name
}

func noneInUse(s *suite, db *gorm.DB) {
	s.Helper()
	pool, err := db.DB()
	must(s, err)
	equal(s, "connections in use", pool.Stats().InUse, 0)
}

// clinger gives itself a session when it is to be deleted.
type clinger struct {
	gormkey.User
	Tenant tenant `gorm:"size:16"`
}

func (c *clinger) BeforeDelete(tx *gorm.DB) error {
	return tx.Create(&gormkey.Session[clinger]{ID: "late", UserID: c.ID}).Error
}

// tenant is a type whose deletes have a condition, and are deletes all the same.
type tenant string

func (tenant) DeleteClauses(f *schema.Field) []clause.Interface {
	return []clause.Interface{clause.Where{Exprs: []clause.Expression{clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: f.DBName}, Value: "ours"}}}}
}

func integrityHooks(s *suite) {
	f := open[clinger](s, s.newDB(s.T))
	ctx := s.Context()
	for name, remove := range map[string]func(u *clinger) error{
		"DeleteUser": func(u *clinger) error { return f.DeleteUser(ctx, u.ID) },
		"plain":      func(u *clinger) error { return f.db.Delete(u).Error },
	} {
		u := &clinger{Tenant: "ours"}
		must(s, f.CreateUser(ctx, u, email("u@x")))
		if err := remove(u); err != nil {
			s.Errorf("%s: %v", name, err)
		}
		equal(s, name+": rows", rows(s, f.db), [3]int64{})
	}
	theirs := &clinger{Tenant: "theirs"}
	must(s, f.CreateUser(ctx, theirs, email("v@x")))
	must(s, f.db.Session(&gorm.Session{SkipHooks: true}).Delete(theirs).Error)
	equal(s, "rows of another tenant", rows(s, f.db), [3]int64{1, 1, 0})

	// A filter for queries, which a delete does not pass.
	must(s, f.db.Callback().Query().Before("gorm:query").Register("test:filter", func(tx *gorm.DB) {
		if tx.Statement.Schema != nil && tx.Statement.Schema.Table == "auth_user" {
			tx.Statement.AddClause(clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "1 = 0"}}})
		}
	}))
	must(s, f.db.Exec("UPDATE auth_user SET tenant = 'ours'").Error)
	result := f.db.Session(&gorm.Session{SkipHooks: true}).Delete(&clinger{User: gormkey.User{ID: theirs.ID}})
	must(s, result.Error)
	equal(s, "RowsAffected behind a filter", result.RowsAffected, 1)
	equal(s, "rows", [2]int64{count(s, f.db, "user_key"), count(s, f.db, "user_session")}, [2]int64{})
}

func integritySoftDelete(s *suite) {
	f := open[member](s, s.newDB(s.T))
	ctx := s.Context()
	u := &member{}
	must(s, f.CreateUser(ctx, u, email("u@x")))
	session, err := f.SignIn(ctx, email("u@x"))
	must(s, err)
	must(s, f.db.Delete(u).Error)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "session of a soft-deleted user", err, gormkey.ErrInvalidSession)
	must(s, f.db.Create(&gormkey.Key[member]{ID: "k:x", UserID: u.ID}).Error) // as a foreign key allows
	must(s, f.db.Unscoped().Delete(u).Error)
	equal(s, "rows", rows(s, f.db), [3]int64{})
}

func integrityTwoTypes(s *suite) {
	f := people(s)
	admins := open[admin](s, f.db, gormkey.WithTableNames(gormkey.TableNames{User: "admins", Key: "admin_keys", Session: "admin_sessions"}))
	must(s, f.db.Create(&admin{User: gormkey.User{ID: "u0"}}).Error)
	must(s, f.db.Create(&gormkey.Session[admin]{ID: "s", UserID: "u0"}).Error)
	wantViolated(s, "a user of the other type", f.db.Create(&gormkey.Session[admin]{ID: "t", UserID: "u1"}).Error)
	must(s, f.db.Delete(&owned{}, "id = ?", "u0").Error)
	equal(s, "sessions of the admins", count(s, admins.db, "admin_sessions"), 1)
	equal(s, "rows", rows(s, f.db), [3]int64{3, 3, 3})
	must(s, withoutDefault(f.db).Delete(&admin{}, "id = ?", "u0").Error)
	equal(s, "sessions of the admins", count(s, admins.db, "admin_sessions"), 0)
	noneInUse(s, f.db)
}

func integrityStatements(s *suite) {
	f := people(s)
	r := record(f.db)
	check := func(what string, most int) {
		s.Helper()
		sent := r.taken()
		if s.declared && f.db.Name() != "sqlite" {
			most = 1
		}
		if len(sent) > most {
			s.Errorf("%s: got %d statements, want at most %d: %q", what, len(sent), most, sent)
		}
	}
	must(s, f.db.Create(&ownedSession{ID: "x", UserID: "u0"}).Error)
	check("create", 4) // PRAGMA or none, write lock on SQLite, SELECT, INSERT
	must(s, f.db.Create([]ownedSession{{ID: "y", UserID: "u0"}, {ID: "z", UserID: "u1"}}).Error)
	check("batch", 4)
	must(s, f.db.Delete(&owned{}, "id = ?", "u0").Error)
	check("delete", 7) // the isolation or PRAGMA, write lock, SELECT, three DELETEs
	must(s, f.db.Create(&owned{User: gormkey.User{ID: "fresh"}}).Error)
	check("a user", 1)
}

func integrityIsolation(s *suite) {
	f := people(s)
	if f.db.Name() != "postgres" {
		s.Skip("only PostgreSQL's snapshots hide what a delete has to see")
	}
	for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
		for name, run := range map[string]func(tx *gorm.DB) error{
			"plain":      func(tx *gorm.DB) error { return tx.Delete(&owned{}, "id = ?", "u0").Error },
			"repository": func(tx *gorm.DB) error { return f.With(tx).DeleteUser(s.Context(), "u0") },
		} {
			err := f.db.Transaction(func(tx *gorm.DB) error { return run(tx) }, &sql.TxOptions{Isolation: level})
			if s.declared {
				must(s, err)
				clearPeople(s, f)
				addPeople(s, f)
				continue
			}
			if !isErr(err, gormkey.ErrUsage) || !strings.Contains(err.Error(), "tx: is at "+strings.ToUpper(level.String())) {
				s.Errorf("%s at %v: got %v", name, level, err)
			}
			equal(s, "rows", rows(s, f.db), [3]int64{4, 4, 4})
		}
	}
}

func raceIntegrity(s *suite) {
	f := open[owned](s, s.newDB(s.T))
	var created, refused atomic.Int64
	for round := range fullRounds(40, 500) {
		users := []string{fmt.Sprintf("a%d", round), fmt.Sprintf("b%d", round)}
		for _, id := range users {
			must(s, f.db.Create(&owned{User: gormkey.User{ID: id}, Email: users[0]}).Error)
		}
		fs := repeat(6, func(i int) {
			db, id := f.db, fmt.Sprintf("%d-%d", round, i)
			if i%2 == 1 {
				db = withoutDefault(db)
			}
			var err error
			switch i % 3 {
			case 0:
				err = db.Create(&ownedSession{ID: gormkey.SessionID(id), UserID: users[0]}).Error
			case 1:
				err = db.Create([]ownedSession{{ID: gormkey.SessionID(id), UserID: users[1]}, {ID: gormkey.SessionID(id + "b"), UserID: users[0]}}).Error
			case 2:
				err = db.Create(&ownedKey{ID: "k:" + id, UserID: users[1]}).Error
			}
			switch {
			case err == nil:
				created.Add(1)
			case isErr(err, gorm.ErrForeignKeyViolated), s.declared && s.enforced:
				refused.Add(1)
			default:
				s.Errorf("create: %v", err)
			}
		})
		fs = append(fs, func() {
			if err := f.db.Where("email = ?", users[0]).Delete(&owned{}).Error; err != nil && !(s.declared && s.enforced) {
				s.Errorf("delete: %v", err)
			}
		})
		atOnce(fs...)
	}
	equal(s, "orphans", orphans(s, f.db), 0)
	if !s.declared || !s.enforced { // where the database's own locks make some deletes lose
		equal(s, "users", count(s, f.db, "auth_user"), 0)
	}
	noneInUse(s, f.db)
	s.Logf("%d created, %d refused", created.Load(), refused.Load())
}
