package gormkeytest

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey"
)

var relationCases = []testCase{
	{"relation/tables that point at the user through its model", relationAuthor},
	{"relation/a user model that points at itself", relationStaff},
	{"relation/tables that point at keys and sessions", relationKeys},
}

// author is a user model whose relations lead to tables that point back at it: GORM
// parses them with it.
type author struct {
	gormkey.User
	Email    string    `gorm:"size:255;uniqueIndex"`
	Essays   []essay   `gorm:"constraint:OnDelete:CASCADE"`
	Desk     *desk     `gorm:"constraint:OnDelete:CASCADE"`
	Clubs    []club    `gorm:"many2many:author_clubs;constraint:OnDelete:CASCADE"`
	Pictures []picture `gorm:"polymorphic:Owner"`
	Letters  []letter  `gorm:"foreignKey:WrittenBy;constraint:OnDelete:CASCADE"`
}

type essay struct {
	ID       uint
	AuthorID string `gorm:"not null;index"`
	Author   *author
	Remarks  []remark `gorm:"constraint:OnDelete:CASCADE"`
}

// remark points at two, one of them two steps away from the user model.
type remark struct {
	ID       uint
	EssayID  uint
	AuthorID string  `gorm:"size:255"` // which the application wrote for another release
	Author   *author `gorm:"constraint:OnDelete:CASCADE"`
}

type desk struct {
	ID       uint
	AuthorID *string
	Profile  *profile `gorm:"foreignKey:DeskID"`
}

// profile has the user's id for its own, and photo points at that.
type profile struct {
	AuthorID string  `gorm:"primaryKey"`
	Author   *author `gorm:"constraint:OnDelete:CASCADE"`
	DeskID   *uint
	Photos   []photo `gorm:"constraint:OnDelete:CASCADE"`
}

type photo struct {
	ID              uint
	ProfileAuthorID string
}

type club struct {
	ID   uint
	Name string `gorm:"size:64"`
}

type picture struct {
	ID        uint
	OwnerID   string
	OwnerType string `gorm:"size:64"`
}

// letter points at the user twice, once in an embedded struct.
type letter struct {
	ID        uint
	WrittenBy string
	Sent      sending `gorm:"embedded;embeddedPrefix:sent_"`
}

type sending struct {
	ToID *string
	To   *author
}

// wideIDs gives users ids of 36 bytes, another each time.
func wideIDs() []gormkey.Option {
	return []gormkey.Option{gormkey.WithUserIDLength(36), wideGenerator()}
}

func wideGenerator() gormkey.Option {
	n := 0
	return gormkey.WithUserIDGenerator(func() string { n++; return wideID[:len(wideID)-2] + fmt.Sprintf("%02d", n) })
}

// idOptions returns options that give users other ids, by name. It opens a database to learn
// the engine, so call it once in a case: some engines have only a few databases.
func idOptions(s *suite) map[string][]gormkey.Option {
	own := map[string]string{"sqlite": "uuid", "postgres": "uuid", "mysql": "varbinary(36)"}[s.newDB(s.T).Name()]
	return map[string][]gormkey.Option{
		"plain":                nil,
		"WithUserIDLength(36)": wideIDs(),
		"WithUserIDType":       {gormkey.WithUserIDType(own), wideGenerator()},
		"WithUserIDLength(8)":  {gormkey.WithUserIDLength(8)},
	}
}

// unlike returns another id of the same form.
func unlike(id string) string {
	last := "8"
	if strings.HasSuffix(id, last) {
		last = "9"
	}
	return id[:len(id)-1] + last
}

func relationAuthor(s *suite) {
	ctx := s.Context()
	more := []any{&essay{}, &remark{}, &desk{}, &profile{}, &photo{}, &club{}, &picture{}, &letter{}}
	for name, opts := range idOptions(s) {
		db := s.newDB(s.T)
		record := recordDDL(db)
		opts = append(opts, gormkey.WithPasswordHasher(FastHasher()))
		plugin := newPlugin[author](s, opts...)
		must(s, db.Use(plugin))
		must(s, plugin.AutoMigrate(db, more...))
		record.taken()
		must(s, plugin.AutoMigrate(db, more...))
		equalLists(s, name+": DDL of the second run", record.taken(), nil)
		auth, err := gormkey.From[author](db)
		must(s, err)
		ada, bob := &author{Email: "ada@example.com"}, &author{Email: "bob@example.com"}
		must(s, auth.CreateUser(ctx, ada, email(ada.Email)))
		must(s, auth.CreateUser(ctx, bob, email(bob.Email)))

		plain := db.WithContext(ctx).Omit(clause.Associations).Session(&gorm.Session{})
		for _, row := range []any{
			&essay{ID: 1, AuthorID: ada.ID}, &remark{ID: 1, EssayID: 1, AuthorID: bob.ID}, &remark{ID: 2, EssayID: 1, AuthorID: ada.ID},
			&desk{ID: 1, AuthorID: &ada.ID}, &profile{AuthorID: ada.ID}, &photo{ID: 1, ProfileAuthorID: ada.ID},
			&club{ID: 1, Name: "x"}, &picture{ID: 1, OwnerID: ada.ID, OwnerType: "authors"},
			&letter{ID: 1, WrittenBy: ada.ID}, &letter{ID: 2, WrittenBy: ada.ID, Sent: sending{ToID: &ada.ID}},
		} {
			if err := plain.Create(row).Error; err != nil {
				s.Errorf("%s: creating a %T: %v", name, row, err)
			}
		}
		must(s, db.Exec("INSERT INTO author_clubs (author_id, club_id) VALUES (?, 1)", ada.ID).Error)
		record.taken()
		must(s, plugin.AutoMigrate(db, more...)) // with rows
		equalLists(s, name+": DDL of the third run", record.taken(), nil)

		if s.enforced {
			nobody := unlike(ada.ID)
			for _, row := range []any{
				&essay{ID: 9, AuthorID: nobody}, &remark{ID: 9, EssayID: 1, AuthorID: nobody}, &desk{ID: 9, AuthorID: &nobody},
				&profile{AuthorID: nobody}, &photo{ID: 9, ProfileAuthorID: nobody}, &letter{ID: 9, WrittenBy: nobody},
			} {
				if err := plain.Create(row).Error; err == nil {
					s.Errorf("%s: a %T of nobody: got no error", name, row)
				}
			}
		}
		var got author
		must(s, db.Preload("Essays.Remarks.Author").Preload("Desk").Preload("Clubs").Preload("Letters").First(&got, "id = ?", ada.ID).Error)
		equal(s, name+": preloaded", fmt.Sprint(len(got.Essays), len(got.Clubs), len(got.Letters), got.Desk.ID), "1 1 2 1")
		equal(s, name+": preloaded over three", got.Essays[0].Remarks[0].Author.Email, "bob@example.com")
		if !s.enforced {
			continue
		}
		must(s, plain.Delete(&letter{}, 2).Error)
		must(s, auth.DeleteUser(ctx, ada.ID))
		for _, table := range []string{"essays", "remarks", "desks", "profiles", "photos", "author_clubs", "letters"} {
			equal(s, name+": rows of "+table+" after the user", count(s, db, table), 0)
		}
	}
}

// staff points at itself.
type staff struct {
	gormkey.User
	Email     string `gorm:"size:255"`
	ManagerID *string
	Manager   *staff
	Team      []staff `gorm:"foreignKey:ManagerID;constraint:OnDelete:SET NULL"`
}

func relationStaff(s *suite) {
	ctx := s.Context()
	for name, opts := range idOptions(s) {
		db := s.newDB(s.T)
		record := recordDDL(db)
		f := open[staff](s, db, opts...)
		record.taken()
		boss := &staff{Email: "boss@example.com"}
		must(s, f.CreateUser(ctx, boss, email(boss.Email)))
		for i := range 2 {
			must(s, f.CreateUser(ctx, &staff{Email: fmt.Sprint(i), ManagerID: &boss.ID}, email(fmt.Sprint(i))))
		}
		record.taken()
		must(s, f.plugin.AutoMigrate(db))
		equalLists(s, name+": DDL of the second run", record.taken(), nil)
		nobody := unlike(boss.ID)
		if err := f.CreateUser(ctx, &staff{Email: "x", ManagerID: &nobody}); s.enforced && err == nil {
			s.Errorf("%s: somebody of no manager: got no error", name)
		}
		var got staff
		must(s, db.Preload("Team").First(&got, "id = ?", boss.ID).Error)
		equal(s, name+": team", len(got.Team), 2)
		must(s, f.DeleteUser(ctx, boss.ID))
		if s.enforced {
			equal(s, name+": staff without a manager", count(s, db, "auth_user", "manager_id IS NULL"), 2)
		}
		equal(s, name+": keys", count(s, db, "user_key"), 2)
	}
}

// credit is a key that tables point at, and visited a session.
type credit struct {
	gormkey.Key[account]
	Uses []creditUse `gorm:"foreignKey:CreditID;constraint:OnDelete:CASCADE,OnUpdate:CASCADE"`
}

type creditUse struct {
	ID       uint
	CreditID string
}

type visited struct {
	gormkey.Session[account]
	Pages []page `gorm:"foreignKey:VisitedID;constraint:OnDelete:CASCADE"`
}

type page struct {
	ID        uint
	VisitedID *string
}

func relationKeys(s *suite) {
	db := s.newDB(s.T)
	record := recordDDL(db)
	plugin := gormkey.NewOf[account, credit, visited](append(slices.Clone(s.options), gormkey.WithPasswordHasher(FastHasher()))...)
	must(s, db.Use(plugin))
	must(s, plugin.AutoMigrate(db, &creditUse{}, &page{}))
	auth, err := plugin.Repository()
	must(s, err)
	ctx := s.Context()
	long := strings.Repeat("x", 240) + "@example.com"
	must(s, auth.CreateUser(ctx, &account{Email: "ada@example.com"}, email("ada@example.com"), gormkey.Proved("x", long)))
	session, err := auth.SignIn(ctx, email("ada@example.com"))
	must(s, err)
	for i, key := range []string{"email:ada@example.com", "x:" + long} {
		must(s, db.Create(&creditUse{ID: uint(i + 1), CreditID: key}).Error)
	}
	visited := string(session.ID)
	must(s, db.Create(&page{ID: 1, VisitedID: &visited}).Error)
	record.taken()
	must(s, plugin.AutoMigrate(db, &creditUse{}, &page{}))
	equalLists(s, "DDL of the second run", record.taken(), nil)
	if !s.enforced {
		return
	}
	if err := db.Create(&creditUse{ID: 9, CreditID: "email:nobody"}).Error; err == nil {
		s.Error("a use of no key: got no error")
	}
	must(s, auth.DeleteUser(ctx, session.UserID))
	equal(s, "uses", count(s, db, "credit_uses"), 0)
	equal(s, "pages", count(s, db, "pages"), 0)
}
