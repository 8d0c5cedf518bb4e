package d1

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/migrator"
)

// Open returns GORM's dialector for a DSN; see [ParseDSN]. What is wrong with the DSN is
// an error of gorm.Open.
func Open(dsn string) gorm.Dialector {
	c, err := ParseDSN(dsn)
	return &dialector{config: c, err: err}
}

// New returns GORM's dialector for settings. What is wrong with them is an error of
// gorm.Open.
func New(c Config) gorm.Dialector { return &dialector{config: c} }

// dialector is SQLite's, with what D1 has otherwise. Its name is "sqlite" too.
type dialector struct {
	sqlite.Dialector
	config Config
	err    error
}

var _ gorm.Dialector = (*dialector)(nil)

// Format shows what [Config] does, whatever the verb.
func (d *dialector) Format(f fmt.State, verb rune) { d.config.Format(f, verb) }

// LogValue shows what [Config] does.
func (d *dialector) LogValue() slog.Value { return d.config.LogValue() }

// Initialize opens the pool.
func (d *dialector) Initialize(db *gorm.DB) error {
	if d.err != nil {
		return d.err
	}
	if _, err := d.config.client(); err != nil {
		return err
	}
	d.Conn = OpenDB(d.config)
	if err := d.Dialector.Initialize(db); err != nil {
		return err
	}
	return registerTransactions(db)
}

// Require returns a statement that makes a batch fail with [ErrTooFewRows] unless the
// condition holds. gormkey, which it tells that transactions here are batches, adds it.
func (d *dialector) Require(condition, why string) string {
	return require(condition, tooFewRows+": "+why)
}

// Translate returns GORM's errors for what a constraint refused.
func (d *dialector) Translate(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.ExtendedCode {
	case codePrimaryKey, codeUnique:
		return gorm.ErrDuplicatedKey
	case codeForeignKey:
		return gorm.ErrForeignKeyViolated
	case codeCheck:
		return gorm.ErrCheckConstraintViolated
	}
	return err
}

// Migrator refuses what would rebuild a table.
func (d *dialector) Migrator(db *gorm.DB) gorm.Migrator {
	return &tables{&sqlite.Migrator{Migrator: migrator.Migrator{Config: migrator.Config{
		DB: db, Dialector: d, CreateIndexAfterCreateTable: true,
	}}}}
}

type tables struct{ *sqlite.Migrator }

var _ gorm.Migrator = (*tables)(nil)

func (*tables) AlterColumn(any, string) error      { return ErrTableRebuild }
func (*tables) DropColumn(any, string) error       { return ErrTableRebuild }
func (*tables) CreateConstraint(any, string) error { return ErrTableRebuild }
func (*tables) DropConstraint(any, string) error   { return ErrTableRebuild }

// CurrentDatabase is SQLite's only name; D1 does not list it.
func (*tables) CurrentDatabase() string { return "main" }

// DropTable drops those that refer to others first. Rows in other tables that point at a
// dropped one by a cascade go with it.
func (m *tables) DropTable(values ...any) error {
	values = m.ReorderModels(values, false)
	db := m.DB.Session(&gorm.Session{})
	for i := len(values) - 1; i >= 0; i-- {
		err := m.RunWithValue(values[i], func(stmt *gorm.Statement) error {
			return db.Exec("DROP TABLE IF EXISTS ?", clause.Table{Name: stmt.Table}).Error
		})
		if err != nil {
			return err
		}
	}
	return nil
}
