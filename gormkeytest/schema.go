package gormkeytest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/tables"
)

var schemaCases = []testCase{
	{"schema/exported SQL and AutoMigrate make the same tables", schemaExport},
	{"schema/pending SQL is what AutoMigrate would send", schemaPending},
	{"schema/pending SQL of rebuilds", schemaPendingRebuild},
	{"schema/a table that users point at is rebuilt", schemaParent},
	{"schema/many to many", schemaManyToMany},
	{"schema/version 1 is brought up to date", schemaVersions},
	{"schema/foreign keys turned on and off", schemaToggle},
	{"schema/foreign keys of one plugin, none of another", schemaMixed},
	{"schema/a migration of the application loses no rows", schemaMigrate},
}

// employer is a table that users point at with a cascade.
type employer struct {
	ID   uint
	Name string `gorm:"size:64"`
}

type employee struct {
	gormkey.User
	EmployerID uint
	Employer   *employer `gorm:"constraint:OnDelete:CASCADE"`
}

// checkedEmployer is employer with a constraint more.
type checkedEmployer struct {
	ID   uint
	Name string `gorm:"size:64;check:named,name <> ''"`
}

func (checkedEmployer) TableName() string { return "employers" }

func schemaParent(s *suite) {
	if s.refusesForeignKeys() {
		s.Skip("the engine refuses foreign keys")
	}
	db := s.newDB(s.T)
	plugin := newPlugin[employee](s)
	must(s, db.Use(plugin))
	must(s, plugin.AutoMigrate(db, &employer{}))
	must(s, db.Create(&employee{User: gormkey.User{ID: "u"}, Employer: &employer{Name: "x"}}).Error)
	must(s, db.Create(&gormkey.Key[employee]{ID: "k:u", UserID: "u"}).Error)
	err := db.AutoMigrate(&checkedEmployer{})
	if db.Name() == "sqlite" && s.enforced && (err == nil || !strings.Contains(err.Error(), "Plugin.Migrate")) {
		s.Errorf("a rebuild that cascades to the users: got %v", err)
	}
	equal(s, "rows", rows(s, db), [3]int64{1, 1, 0})
	must(s, plugin.AutoMigrate(db, &checkedEmployer{}))
	equal(s, "rows", rows(s, db), [3]int64{1, 1, 0})
}

// team is what users have many to many.
type team struct {
	ID   uint
	Name string `gorm:"size:64"`
}

type player struct {
	gormkey.User
	Teams []team `gorm:"many2many:player_teams"`
}

func schemaManyToMany(s *suite) {
	migrated, exported := s.newDB(s.T), s.newDB(s.T)
	p, q := newPlugin[player](s), newPlugin[player](s)
	must(s, migrated.Use(p))
	must(s, exported.Use(q))
	must(s, p.AutoMigrate(migrated))
	up, down, err := q.SQL(exported)
	must(s, err)
	for _, statement := range up {
		must(s, exported.Exec(statement).Error)
	}
	parts := func(db *gorm.DB) string { // GORM writes constraints in any order
		list := strings.FieldsFunc(catalog(s, db), func(r rune) bool { return r == ',' || r == '\n' })
		for i := range list {
			list[i] = strings.Trim(list[i], " )")
		}
		slices.Sort(list)
		return strings.Join(list, "\n")
	}
	equal(s, "catalog", parts(exported), parts(migrated))
	must(s, exported.Create(&player{User: gormkey.User{ID: "p"}, Teams: []team{{Name: "x"}}}).Error)
	must(s, exported.Exec("DELETE FROM player_teams").Error)
	for _, statement := range down {
		must(s, exported.Exec(statement).Error)
	}
	equal(s, "catalog after down", catalog(s, exported), "")
}

// version1 is schema version 1 of CHANGELOG.md, as its release made it.
var version1 = map[string][]string{
	"sqlite": {
		"CREATE TABLE `auth_user` (`id` text NOT NULL,`email` text,PRIMARY KEY (`id`))",
		"CREATE TABLE `user_key` (`id` text NOT NULL,`user_id` text NOT NULL,`hashed_password` text,PRIMARY KEY (`id`),CONSTRAINT `fk_user_key_user` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE INDEX `idx_user_key_user_id` ON `user_key`(`user_id`)",
		"CREATE TABLE `user_session` (`id` text NOT NULL,`user_id` text NOT NULL,`active_expires` bigint NOT NULL,`idle_expires` bigint NOT NULL,PRIMARY KEY (`id`),CONSTRAINT `fk_user_session_user` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE INDEX `idx_user_session_user_id` ON `user_session`(`user_id`)",
		"CREATE INDEX `idx_user_session_idle_expires` ON `user_session`(`idle_expires`)",
	},
	"postgres": {
		`CREATE TABLE "auth_user" ("id" varchar(15) NOT NULL,"email" varchar(191),PRIMARY KEY ("id"))`,
		`CREATE TABLE "user_key" ("id" varchar(255) NOT NULL,"user_id" varchar(15) NOT NULL,"hashed_password" varchar(255),PRIMARY KEY ("id"),CONSTRAINT "fk_user_key_user" FOREIGN KEY ("user_id") REFERENCES "auth_user"("id") ON DELETE CASCADE ON UPDATE CASCADE)`,
		`CREATE INDEX "idx_user_key_user_id" ON "user_key" ("user_id")`,
		`CREATE TABLE "user_session" ("id" varchar(128) NOT NULL,"user_id" varchar(15) NOT NULL,"active_expires" bigint NOT NULL,"idle_expires" bigint NOT NULL,PRIMARY KEY ("id"),CONSTRAINT "fk_user_session_user" FOREIGN KEY ("user_id") REFERENCES "auth_user"("id") ON DELETE CASCADE ON UPDATE CASCADE)`,
		`CREATE INDEX "idx_user_session_user_id" ON "user_session" ("user_id")`,
		`CREATE INDEX "idx_user_session_idle_expires" ON "user_session" ("idle_expires")`,
	},
	"mysql": {
		"CREATE TABLE `auth_user` (`id` varbinary(15) NOT NULL,`email` varchar(191),PRIMARY KEY (`id`))",
		"CREATE TABLE `user_key` (`id` varbinary(255) NOT NULL,`user_id` varbinary(15) NOT NULL,`hashed_password` varchar(255),PRIMARY KEY (`id`),INDEX `idx_user_key_user_id` (`user_id`),CONSTRAINT `fk_user_key_user` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE TABLE `user_session` (`id` varbinary(128) NOT NULL,`user_id` varbinary(15) NOT NULL,`active_expires` bigint NOT NULL,`idle_expires` bigint NOT NULL,PRIMARY KEY (`id`),INDEX `idx_user_session_user_id` (`user_id`),INDEX `idx_user_session_idle_expires` (`idle_expires`),CONSTRAINT `fk_user_session_user` FOREIGN KEY (`user_id`) REFERENCES `auth_user`(`id`) ON DELETE CASCADE ON UPDATE CASCADE)",
	},
}

var foreignKeyDDL = regexp.MustCompile(`,CONSTRAINT \S+ FOREIGN KEY .* ON UPDATE CASCADE`)

// schemaVersions brings a database of each earlier version up to date, by AutoMigrate
// and by PendingSQL, and wants the same tables, and the rows that were there.
func schemaVersions(s *suite) {
	fresh := open[owned](s, s.newDB(s.T))
	for number, ddl := range map[int]map[string][]string{1: version1} {
		for name, update := range map[string]func(p *gormkey.Plugin[owned], db *gorm.DB) error{
			"AutoMigrate": func(p *gormkey.Plugin[owned], db *gorm.DB) error { return p.AutoMigrate(db) },
			"PendingSQL": func(p *gormkey.Plugin[owned], db *gorm.DB) error {
				pending, err := p.PendingSQL(db)
				for _, statement := range pending {
					if err == nil {
						err = db.Exec(statement).Error
					}
				}
				return err
			},
		} {
			db := s.newDB(s.T)
			for _, statement := range ddl[db.Name()] {
				if !s.declared {
					statement = foreignKeyDDL.ReplaceAllString(statement, "")
				}
				must(s, db.Exec(statement).Error)
			}
			must(s, db.Exec("INSERT INTO auth_user (id, email) VALUES ('u', 'u@x')").Error)
			must(s, db.Exec("INSERT INTO user_key (id, user_id) VALUES ('email:u', 'u')").Error)
			must(s, db.Exec("INSERT INTO user_session (id, user_id, active_expires, idle_expires) VALUES ('s', 'u', 1, 4102444800000)").Error)
			plugin := newPlugin[owned](s)
			must(s, db.Use(plugin))
			must(s, update(plugin, db))
			equal(s, fmt.Sprintf("catalog of version %d after %s", number, name), normalized(catalog(s, db)), normalized(catalog(s, fresh.db)))
			equal(s, "rows", rows(s, db), [3]int64{1, 1, 1})
			auth, err := gormkey.From[owned](db)
			must(s, err)
			findings, err := auth.Audit(s.Context())
			must(s, err)
			equal(s, "findings", len(withoutPragma(findings)), 0)
		}
	}
}

// normalized hides how a statement was written, which SQLite keeps.
func normalized(catalog string) string {
	return strings.ReplaceAll(strings.ReplaceAll(catalog, " IF NOT EXISTS", ""), " ", "")
}

func schemaToggle(s *suite) {
	if s.refusesForeignKeys() {
		s.Skip("the engine refuses foreign keys")
	}
	ctx := s.Context()
	on := gormkey.New[owned]()
	db := s.newDB(s.T)
	must(s, db.Use(on))
	must(s, on.AutoMigrate(db))
	wantErr(s, "dropping what the next AutoMigrate adds", on.DropForeignKeys(db), gormkey.ErrUsage)

	offDB := s.again(db)
	off := gormkey.New[owned](gormkey.WithoutForeignKeys())
	must(s, offDB.Use(off))
	must(s, off.AutoMigrate(offDB))
	auth, err := gormkey.From[owned](offDB)
	must(s, err)
	f := &fixture[owned]{RepositoryOf: auth, db: offDB, plugin: off}
	addPeople(s, f)
	findings, err := auth.Audit(ctx)
	must(s, err)
	equalLists(s, "off on tables with foreign keys", problems(findings), []string{"foreign key present user_key.user_id", "foreign key present user_session.user_id"})
	must(s, off.DropForeignKeys(offDB))
	must(s, off.DropForeignKeys(offDB))
	findings, err = auth.Audit(ctx)
	must(s, err)
	equalLists(s, "after they were dropped", problems(findings), nil)
	equal(s, "rows", rows(s, offDB), [3]int64{4, 4, 4})
	must(s, offDB.Exec("DELETE FROM auth_user WHERE id = 'u0'").Error) // which nobody sees
	wantViolated(&suite{T: s.T}, "off", offDB.Create(&ownedKey{ID: "k:x", UserID: "u0"}).Error)

	backDB := s.again(db)
	back := gormkey.New[owned]()
	must(s, backDB.Use(back))
	err = back.AutoMigrate(backDB)
	var orphaned *tables.OrphanError
	wantErr(s, "on again, with orphans", err, tables.ErrOrphans)
	if !errors.As(err, &orphaned) || orphaned.Count != 1 {
		s.Errorf("got %v", err)
	}
	_, err = back.PendingSQL(backDB)
	wantErr(s, "pending, with orphans", err, tables.ErrOrphans)
	equal(s, "rows", rows(s, backDB), [3]int64{3, 4, 4})
	auth, err = gormkey.From[owned](backDB)
	must(s, err)
	findings, err = auth.Audit(ctx)
	must(s, err)
	equalLists(s, "on, without foreign keys", problems(findings), []string{
		"foreign key missing user_key.user_id", "foreign key missing user_session.user_id", "orphans user_key.user_id 1", "orphans user_session.user_id 1",
	})
	n, err := auth.Repair(ctx)
	must(s, err)
	equal(s, "repaired", n, 2)
	must(s, back.AutoMigrate(backDB))
	findings, err = auth.Audit(ctx)
	must(s, err)
	equalLists(s, "on again", problems(findings), nil)
	equal(s, "rows", rows(s, backDB), [3]int64{3, 3, 3})
	if s.enforced {
		if err := backDB.Exec("INSERT INTO user_key (id, user_id) VALUES ('k:y', 'nobody')").Error; err == nil {
			s.Error("raw SQL for a missing user: got no error")
		}
	}
}

func schemaMixed(s *suite) {
	if s.refusesForeignKeys() {
		s.Skip("the engine refuses foreign keys")
	}
	db := s.newDB(s.T)
	record := recordDDL(db)
	with := gormkey.New[account]()
	without := gormkey.New[admin](gormkey.WithoutForeignKeys(), gormkey.WithTableNames(gormkey.TableNames{User: "admins", Key: "admin_keys", Session: "admin_sessions"}))
	must(s, db.Use(with))
	must(s, db.Use(without))
	must(s, with.AutoMigrate(db))
	must(s, without.AutoMigrate(db, &post{}))
	for _, statement := range record.taken() {
		admins := strings.Contains(statement, "admin")
		if strings.HasPrefix(statement, "CREATE TABLE") && strings.Contains(statement, "user_id") && strings.Contains(statement, "FOREIGN KEY") == admins {
			s.Errorf("got %s", statement)
		}
		if strings.Contains(statement, "posts") && strings.HasPrefix(statement, "CREATE TABLE") && !strings.Contains(statement, "FOREIGN KEY") {
			s.Errorf("the application's own table: %s", statement)
		}
	}
	err := db.Create(&gormkey.Session[admin]{ID: "s", UserID: "nobody"}).Error
	wantErr(s, "a session of no admin", err, gorm.ErrForeignKeyViolated)
}

// schemaMigrate drops a column and changes a type, which GORM does on SQLite by dropping
// the table.
func schemaMigrate(s *suite) {
	old := open[v1](s, s.newDB(s.T))
	ctx := s.Context()
	u := &v1{Email: "u@example.com", Age: 7}
	must(s, old.CreateUser(ctx, u, email("u@example.com")))
	_, err := old.SignIn(ctx, email("u@example.com"))
	must(s, err)
	counts := func() [3]int64 {
		return [3]int64{count(s, old.db, "members"), count(s, old.db, "user_key"), count(s, old.db, "user_session")}
	}
	for name, migrate := range map[string]func(tx *gorm.DB) error{
		"AlterColumn": func(tx *gorm.DB) error { return tx.Migrator().AlterColumn(&v1{}, "Email") },
		"DropColumn":  func(tx *gorm.DB) error { return tx.Migrator().DropColumn(&v1{}, "Age") },
	} {
		err := old.db.Transaction(func(tx *gorm.DB) error { return migrate(tx) })
		if old.db.Name() == "sqlite" && s.enforced && err == nil && counts() != [3]int64{1, 1, 1} {
			s.Errorf("%s in a transaction: rows %v, and no error", name, counts())
		}
		if err != nil && !strings.Contains(err.Error(), "Plugin.Migrate") {
			s.Errorf("%s in a transaction: got %v", name, err)
		}
		equal(s, name+": rows", counts(), [3]int64{1, 1, 1})
	}
	before := indexes(s, old.db)
	must(s, old.plugin.Migrate(old.db, func(tx *gorm.DB) error {
		if !tx.Migrator().HasColumn(&v1{}, "Age") {
			return nil // an engine that could do so without a rebuild
		}
		return tx.Migrator().DropColumn(&v1{}, "Age")
	}))
	equal(s, "rows", counts(), [3]int64{1, 1, 1})
	equal(s, "column", old.db.Migrator().HasColumn(&v1{}, "Age"), false)
	equal(s, "indexes", indexes(s, old.db), before)
	wantErr(s, "nil", old.plugin.Migrate(old.db, nil), gormkey.ErrUsage)
}

// indexes returns the names of the indexes on SQLite.
func indexes(s *suite, db *gorm.DB) string {
	s.Helper()
	var names []string
	if db.Name() == "sqlite" {
		must(s, db.Raw("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name").Scan(&names).Error)
	}
	return strings.Join(names, " ")
}
