package d1_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/d1"
)

type author struct {
	ID      string `gorm:"primaryKey;size:15"`
	Name    string `gorm:"size:100;uniqueIndex"`
	Age     *int
	Score   float64
	Picture []byte
	Active  bool
	Created time.Time
	Books   []book `gorm:"constraint:OnDelete:CASCADE"`
}

type book struct {
	ID       string `gorm:"primaryKey;size:15"`
	AuthorID string `gorm:"not null;index"`
}

type note struct {
	gorm.Model
	Text string
}

// hooked has a hook, so GORM's own transaction stands around its statements.
type hooked struct{ ID string }

var errHook = errors.New("no")

func (h *hooked) AfterCreate(*gorm.DB) error {
	if h.ID == "bad" {
		return errHook
	}
	return nil
}

// statements remembers what was sent.
type statements struct {
	logger.Interface
	mu  sync.Mutex
	sql []string
}

func (s *statements) LogMode(logger.LogLevel) logger.Interface { return s }

func (s *statements) Trace(_ context.Context, _ time.Time, fc func() (string, int64), _ error) {
	sql, _ := fc()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sql = append(s.sql, sql)
}

func TestAutoMigrateTwice(t *testing.T) {
	seen := &statements{Interface: logger.Discard}
	db := newGORM(t, &gorm.Config{Logger: seen})
	models := []any{&author{}, &book{}, &note{}}
	must(t, db.AutoMigrate(models...))
	seen.sql = nil
	must(t, db.AutoMigrate(models...))
	for _, s := range seen.sql {
		if !strings.HasPrefix(s, "SELECT") {
			t.Errorf("again: %s", s)
		}
	}
	type author struct {
		ID    string `gorm:"primaryKey;size:15"`
		Added string `gorm:"not null;default:'x'"`
	}
	must(t, db.AutoMigrate(&author{}))
	if !db.Migrator().HasColumn(&author{}, "added") {
		t.Error("no column was added")
	}
}

func TestTableRebuild(t *testing.T) {
	db := newGORM(t, &gorm.Config{})
	must(t, db.AutoMigrate(&author{}, &book{}))
	must(t, db.Create(&author{ID: "a", Books: []book{{ID: "b"}}}).Error)
	type author struct {
		ID    string `gorm:"primaryKey;size:15"`
		Score string `gorm:"not null"` // was a number
	}
	m := db.Migrator()
	for name, err := range map[string]error{
		"AutoMigrate":      db.AutoMigrate(&author{}),
		"AlterColumn":      m.AlterColumn(&author{}, "Score"),
		"DropColumn":       m.DropColumn(&author{}, "Score"),
		"CreateConstraint": m.CreateConstraint(&author{}, "c"),
		"DropConstraint":   m.DropConstraint(&author{}, "c"),
	} {
		if !errors.Is(err, d1.ErrTableRebuild) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var n int64
	must(t, db.Model(&book{}).Count(&n).Error)
	if n != 1 {
		t.Errorf("%d books are left", n)
	}
	must(t, m.DropTable("books", "authors"))
}

func TestGORM(t *testing.T) {
	for name, settings := range map[string]*gorm.Config{"plain": {}, "prepared": {PrepareStmt: true}, "no transactions": {SkipDefaultTransaction: true}} {
		t.Run(name, func(t *testing.T) {
			db := newGORM(t, settings)
			must(t, db.AutoMigrate(&author{}, &book{}, &note{}))
			age := 36
			ada := author{ID: "a", Name: "Ada", Age: &age, Score: 2, Picture: []byte{0, 1}, Active: true, Created: time.Now(), Books: []book{{ID: "1"}, {ID: "2"}}}
			if tx := db.Create(&ada); tx.Error != nil || tx.RowsAffected != 1 {
				t.Errorf("Create: %d, %v", tx.RowsAffected, tx.Error)
			}
			var got author
			must(t, db.Preload("Books").Take(&got, "id = ?", "a").Error)
			if got.Name != "Ada" || *got.Age != 36 || got.Score != 2 || len(got.Picture) != 2 || !got.Active || !got.Created.Equal(ada.Created) || len(got.Books) != 2 {
				t.Errorf("got %+v", got)
			}
			first, second := note{Text: "x"}, note{Text: "y"} // ids are the database's
			must(t, db.Create(&first).Error)
			must(t, db.Create(&second).Error)
			if first.ID == 0 || second.ID != first.ID+1 {
				t.Errorf("ids %d, %d", first.ID, second.ID)
			}
			for _, test := range []struct {
				name string
				tx   *gorm.DB
				want int64
			}{
				{"update", db.Model(&author{}).Where("id = ?", "a").Update("name", "Ada L"), 1},
				{"update none", db.Model(&author{}).Where("id = ?", "z").Update("name", "x"), 0},
				{"do nothing", db.Clauses(clause.OnConflict{DoNothing: true}).Create(&author{ID: "a", Name: "new"}), 0},
				{"save new", db.Save(&author{ID: "s", Name: "saved"}), 1},
				{"save old", db.Save(&author{ID: "s", Name: "again"}), 1},
				{"delete", db.Delete(&author{}, "id = ?", "s"), 1},
				{"delete none", db.Delete(&author{}, "id = ?", "s"), 0},
				{"soft delete", db.Delete(&first), 1},
				{"raw", db.Exec("UPDATE authors SET score = 1"), 1},
				{"two by batch", db.CreateInBatches([]author{{ID: "x", Name: "x"}, {ID: "y", Name: "y"}}, 10), 2},
			} {
				if test.tx.Error != nil || test.tx.RowsAffected != test.want {
					t.Errorf("%s: %d rows, %v; want %d", test.name, test.tx.RowsAffected, test.tx.Error, test.want)
				}
			}
		})
	}
}

func TestGORMTransaction(t *testing.T) {
	db := newGORM(t, &gorm.Config{TranslateError: true})
	must(t, db.AutoMigrate(&author{}, &book{}, &note{}, &hooked{}))
	must(t, db.Transaction(func(tx *gorm.DB) error {
		result := tx.Create(&author{ID: "a", Name: "a"})
		if result.RowsAffected >= 0 {
			t.Errorf("%d rows before Commit", result.RowsAffected)
		}
		if err := tx.Take(&author{}).Error; !errors.Is(err, d1.ErrReadAfterWrite) {
			t.Errorf("read after write: %v", err)
		}
		if err := tx.Create(&note{}).Error; !errors.Is(err, d1.ErrReturning) {
			t.Errorf("an id of the database's: %v", err)
		}
		if err := tx.Save(&author{ID: "n", Name: "n"}).Error; !errors.Is(err, d1.ErrPending) {
			t.Errorf("Save: %v", err)
		}
		err := tx.Transaction(func(tx *gorm.DB) error { // a savepoint
			must(t, tx.Create(&author{ID: "b", Name: "b"}).Error)
			return errHook
		})
		if !errors.Is(err, errHook) {
			t.Error(err)
		}
		return result.Error
	}))
	err := db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Create(&author{ID: "c", Name: "c"}).Error)
		return tx.Create(&author{ID: "d", Name: "a"}).Error
	})
	if !errors.Is(err, gorm.ErrDuplicatedKey) {
		t.Errorf("at Commit: %v", err)
	}
	// The hook's error, and a child's, undo what GORM's own transaction had before it.
	if err := db.Create(&hooked{ID: "bad"}).Error; !errors.Is(err, errHook) {
		t.Errorf("hook: %v", err)
	}
	if tx := db.Create(&hooked{ID: "good"}); tx.Error != nil || tx.RowsAffected != 1 {
		t.Errorf("hook: %d, %v", tx.RowsAffected, tx.Error)
	}
	if tx := db.Create(&author{ID: "e", Name: "e", Books: []book{{ID: "1"}, {ID: strings.Repeat("2", 3), AuthorID: "e"}, {ID: "1"}}}); tx.RowsAffected > 0 && tx.Error != nil {
		t.Errorf("%d rows with an error", tx.RowsAffected)
	}
	var ids []string
	must(t, db.Model(&author{}).Where("id <> ?", "e").Order("id").Pluck("id", &ids).Error)
	if strings.Join(ids, "") != "a" {
		t.Errorf("got %q", ids)
	}
	must(t, db.Model(&hooked{}).Pluck("id", &ids).Error)
	if strings.Join(ids, "") != "good" {
		t.Errorf("got %q", ids)
	}
}

// A plugin's callback may send statements, which are undone with the one that it is for.
func TestGORMPlugin(t *testing.T) {
	db := newGORM(t, &gorm.Config{})
	must(t, db.AutoMigrate(&author{}, &book{}, &note{}))
	must(t, db.Callback().Create().Before("gorm:create").Register("test:log", func(tx *gorm.DB) {
		if tx.Statement.Table == "authors" {
			_ = tx.AddError(tx.Session(&gorm.Session{NewDB: true}).Exec("INSERT INTO notes (text) VALUES ('an author')").Error)
		}
	}))
	if tx := db.Create(&author{ID: "a", Name: "a"}); tx.Error != nil || tx.RowsAffected != 1 {
		t.Errorf("%d rows, %v", tx.RowsAffected, tx.Error)
	}
	if tx := db.Create(&author{ID: "b", Name: "a"}); tx.Error == nil || tx.RowsAffected != 0 {
		t.Errorf("a duplicate: %d rows, %v", tx.RowsAffected, tx.Error)
	}
	var notes int64
	must(t, db.Model(&note{}).Count(&notes).Error)
	if notes != 1 {
		t.Errorf("%d notes, want 1", notes)
	}
	if err := db.Create(&note{}).Error; !errors.Is(err, d1.ErrReturning) {
		t.Errorf("an id of the database's: %v", err)
	}
	must(t, db.Session(&gorm.Session{SkipDefaultTransaction: true}).Create(&note{}).Error)
}
