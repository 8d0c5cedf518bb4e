package gormkeytest

import (
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey"
)

var exportNames = gormkey.TableNames{User: "people", Key: "people_keys", Session: "people_sessions"}

func schemaExport(s *suite) {
	for _, opts := range [][]gormkey.Option{
		{},
		{gormkey.WithTableNames(exportNames), gormkey.WithAbsoluteLifetime(30 * 24 * time.Hour)},
	} {
		migrated, exported := s.newDB(s.T), s.newDB(s.T)
		p, q := newAccounts(s, opts...), newAccounts(s, opts...)
		must(s, migrated.Use(p))
		must(s, p.AutoMigrate(migrated))
		must(s, exported.Use(q))
		record := recordDDL(exported)
		up, down, err := q.SQL(exported)
		must(s, err)
		if sent := record.taken(); len(sent) > 0 {
			s.Errorf("SQL sent %q", sent)
		}
		for _, statement := range up {
			if !s.declared && strings.Contains(statement, "FOREIGN KEY") {
				s.Errorf("without foreign keys: %s", statement)
			}
			must(s, exported.Exec(statement).Error)
		}
		equal(s, "catalog", catalog(s, exported), catalog(s, migrated))
		record.taken()
		must(s, q.AutoMigrate(exported))
		if sent := record.taken(); len(sent) > 0 {
			s.Errorf("AutoMigrate on the exported tables sent %q", sent)
		}
		for _, statement := range down {
			must(s, exported.Exec(statement).Error)
		}
		equal(s, "catalog after down", catalog(s, exported), "")
		for _, statement := range up { // and up again
			must(s, exported.Exec(statement).Error)
		}
	}
}

// catalog returns what the engine itself says of the tables.
func catalog(s *suite, db *gorm.DB) string {
	s.Helper()
	db = db.Session(&gorm.Session{NewDB: true})
	var lines []string
	switch db.Name() {
	case "sqlite":
		must(s, db.Raw("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%' ORDER BY name").Scan(&lines).Error)
	case "postgres":
		must(s, db.Raw(`SELECT concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
			WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname, a.attnum`).Scan(&lines).Error)
		for _, query := range []string{
			"SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
			"SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1",
		} {
			var more []string
			must(s, db.Raw(query).Scan(&more).Error)
			lines = append(lines, more...)
		}
	default:
		var tables []string
		must(s, db.Raw("SHOW TABLES").Scan(&tables).Error)
		slices.Sort(tables)
		for _, table := range tables {
			var created struct {
				SQL string `gorm:"column:Create Table"`
			}
			must(s, db.Raw("SHOW CREATE TABLE `"+table+"`").Scan(&created).Error)
			lines = append(lines, created.SQL)
		}
	}
	return strings.Join(lines, "\n")
}

func schemaPending(s *suite) {
	db := s.newDB(s.T)
	first := newPlugin[account](s)
	must(s, db.Use(first))
	pending, err := first.PendingSQL(db)
	must(s, err)
	up, _, err := first.SQL(db)
	must(s, err)
	equal(s, "pending on an empty database", strings.Join(pending, "\n"), strings.Join(up, "\n"))
	must(s, first.AutoMigrate(db))
	pending, err = first.PendingSQL(db)
	must(s, err)
	equal(s, "pending when up to date", len(pending), 0)

	// A later version of the application, with columns of the plugin's and its own.
	opts := []gormkey.Option{gormkey.WithAbsoluteLifetime(30 * 24 * time.Hour)}
	next := s.again(db)
	plugin := newAccounts(s, opts...)
	must(s, next.Use(plugin))
	before := catalog(s, next)
	pending, err = plugin.PendingSQL(next)
	must(s, err)
	equal(s, "catalog after asking", catalog(s, next), before)
	if text := strings.Join(pending, "\n"); !strings.Contains(text, "absolute_expires") || !strings.Contains(text, "country") {
		s.Fatalf("pending: got %s", text)
	}
	for _, statement := range pending {
		must(s, next.Exec(statement).Error)
	}
	other := s.newDB(s.T)
	must(s, other.Use(newPlugin[account](s)))
	must(s, other.AutoMigrate(newPlugin[account](s).Models()...))
	migrated := s.again(other)
	same := newAccounts(s, opts...)
	must(s, migrated.Use(same))
	must(s, same.AutoMigrate(migrated))
	equal(s, "catalog", catalog(s, next), catalog(s, migrated))
	pending, err = plugin.PendingSQL(next)
	must(s, err)
	equal(s, "pending after it", len(pending), 0)
}

// schemaPendingRebuild changes two columns of one table and adds another, which on SQLite
// are two rebuilds, on a table with indexes and a trigger of the application's own.
func schemaPendingRebuild(s *suite) {
	pendingRebuild(s, schema.NamingStrategy{IdentifierMaxLength: 63})
	if s.newDB(s.T).Name() == "sqlite" { // which alone rebuilds
		pendingRebuild(s, schema.NamingStrategy{IdentifierMaxLength: 63, NoLowerCase: true})
	}
}

func pendingRebuild(s *suite, namer schema.Namer) {
	s.Helper()
	names := gormkey.WithTableNames(gormkey.TableNames{Key: "user_key", Session: "user_session"})
	for name, update := range map[string]func(p *gormkey.Plugin[v2], db *gorm.DB) error{
		"AutoMigrate": func(p *gormkey.Plugin[v2], db *gorm.DB) error { return p.AutoMigrate(db) },
		"PendingSQL": func(p *gormkey.Plugin[v2], db *gorm.DB) error {
			pending, err := p.PendingSQL(db)
			if err != nil {
				return err
			}
			return p.Migrate(db, func(tx *gorm.DB) error {
				for _, statement := range pending {
					if err := tx.Exec(statement).Error; err != nil {
						return err
					}
				}
				return nil
			})
		},
	} {
		first := s.newDB(s.T)
		first.Config.NamingStrategy = namer
		old := open[v1](s, first, names)
		u := &v1{Email: "U@example.com", Age: 7}
		must(s, old.CreateUser(s.Context(), u, email("u@example.com")))
		own := []string{}
		if old.db.Name() == "sqlite" {
			own = []string{"CREATE UNIQUE INDEX members_lower ON members(lower(email))", "CREATE TRIGGER members_keep BEFORE DELETE ON members BEGIN SELECT RAISE(ABORT, 'kept'); END"}
		}
		for _, statement := range own {
			must(s, old.db.Exec(statement).Error)
		}
		next := s.again(old.db)
		next.Config.NamingStrategy = namer
		plugin := newPlugin[v2](s, names)
		must(s, next.Use(plugin))
		must(s, update(plugin, next))
		pending, err := plugin.PendingSQL(next)
		must(s, err)
		equal(s, name+": pending after it", strings.Join(pending, "\n"), "")
		equal(s, name+": rows", count(s, next, "members", "email = 'U@example.com' AND age = 7 AND nick IS NULL"), 1)
		equal(s, name+": keys", count(s, next, "user_key"), 1)
		if len(own) > 0 {
			equal(s, name+": index and trigger", count(s, next, "sqlite_master", "name IN ('members_lower', 'members_keep')"), 2)
		}
	}
}
