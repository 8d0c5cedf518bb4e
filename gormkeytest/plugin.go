package gormkeytest

import (
	"errors"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

var pluginCases = []testCase{
	{"plugin/table names", pluginTableNames},
	{"plugin/two user types on one database", pluginTwoTypes},
	{"plugin/two databases in one process", pluginTwoDatabases},
	{"plugin/configurations of GORM", pluginConfigurations},
	{"plugin/refused", pluginRefused},
	{"plugin/a user model with a field UserID", pluginUserIDField},
	{"plugin/a generator that fails later", pluginGenerator},
	{"plugin/settings and DisableNestedTransaction of the handle", pluginHandleSettings},
}

func pluginTableNames(s *suite) {
	names := gormkey.TableNames{User: "customers", Key: "customer_logins", Session: "customer_devices"}
	f := s.accounts(gormkey.WithTableNames(names))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	for _, table := range []string{"customers", "customer_logins", "customer_devices"} {
		equal(s, table, count(s, f.db, table), 1)
	}
	equal(s, "default table", f.db.Migrator().HasTable("auth_user"), false)
	var got device
	must(s, f.db.InnerJoins("User").First(&got, "customer_devices.id = ?", session.ID).Error)
	equal(s, "plain GORM", got.User.Email, ada.Email)
	must(s, f.DeleteUser(ctx, ada.ID))
	equal(s, "sessions after a delete", count(s, f.db, "customer_devices"), 0)
}

// admin is a second user type.
type admin struct {
	gormkey.User
	Level int
}

func pluginTwoTypes(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	admins := open[admin](s, f.db, gormkey.WithTableNames(gormkey.TableNames{User: "admins", Key: "admin_keys", Session: "admin_sessions"}))
	ada := signUp(s, f, "ada")
	root := &admin{User: gormkey.User{ID: ada.ID}, Level: 9}
	must(s, admins.CreateUser(ctx, root, email(ada.Email)))
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	adminSession, err := admins.SignIn(ctx, email(ada.Email))
	must(s, err)
	_, err = admins.ValidateSession(ctx, session.Token)
	wantErr(s, "a user's session among the admins", err, gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, adminSession.Token)
	wantErr(s, "an admin's session among the users", err, gormkey.ErrInvalidSession)
	must(s, f.DeleteUser(ctx, ada.ID))
	got, err := admins.ValidateSession(ctx, adminSession.Token)
	must(s, err)
	equal(s, "level", got.User.Level, 9)
	if err := f.db.Use(newPlugin[admin](s)); err == nil {
		s.Error("a second plugin for a user type: got no error")
	}
}

func pluginTwoDatabases(s *suite) {
	a, b := s.accounts(), s.accounts(gormkey.WithTableNames(gormkey.TableNames{User: "people", Key: "logins", Session: "devices"}))
	ctx := s.Context()
	var errs [2]error
	atOnce(
		func() { errs[0] = a.CreateUser(ctx, &account{Email: "ada@example.com"}, email("ada@example.com")) },
		func() { errs[1] = b.CreateUser(ctx, &account{Email: "bob@example.com"}, email("bob@example.com")) },
	)
	must(s, errors.Join(errs[:]...))
	_, err := b.SignIn(ctx, email("ada@example.com"))
	wantErr(s, "the other database's user", err, gormkey.ErrInvalidCredentials)
	_, err = b.SignIn(ctx, email("bob@example.com"))
	must(s, err)
	if err := a.db.Use(b.plugin); err == nil {
		s.Error("a plugin of another database: got no error")
	}
	_, err = a.With(b.db).GetUser(ctx, "x")
	wantErr(s, "handle of another database", err, gormkey.ErrUsage)
}

// pluginConfigurations: none of GORM's settings changes an answer.
func pluginConfigurations(s *suite) {
	for name, set := range map[string]func(c *gorm.Config){
		"SkipDefaultTransaction": func(c *gorm.Config) { c.SkipDefaultTransaction = true },
		"TranslateError":         func(c *gorm.Config) { c.TranslateError = true },
		"QueryFields":            func(c *gorm.Config) { c.QueryFields = true },
		"AllowGlobalUpdate":      func(c *gorm.Config) { c.AllowGlobalUpdate = true },
		"FullSaveAssociations":   func(c *gorm.Config) { c.FullSaveAssociations = true },
		"CreateBatchSize":        func(c *gorm.Config) { c.CreateBatchSize = 1 },
		"DefaultContextTimeout":  func(c *gorm.Config) { c.DefaultContextTimeout = time.Minute },
	} {
		db := s.newDB(s.T)
		set(db.Config)
		f := openAccounts(s, db)
		ctx := s.Context()
		ada := signUp(s, f, "ada")
		wantErr(s, name+": taken email", f.CreateUser(ctx, &account{Email: ada.Email}), gormkey.ErrDuplicateAttribute)
		wantErr(s, name+": taken key", f.CreateUser(ctx, &account{Email: "b"}, email(ada.Email)), gormkey.ErrDuplicateKey)
		equal(s, name+": rows", rows(s, f.db), [3]int64{1, 1, 0})
		phone, err := f.SignIn(ctx, email(ada.Email), as(device{Country: "NO"}))
		must(s, err)
		f.clock.Advance(ActivePeriod + time.Minute)
		got, err := f.ValidateSession(ctx, phone.Token)
		must(s, err)
		equal(s, name+": country", got.Country, "NO")
		equal(s, name+": renewed", got.Fresh, true)
		must(s, f.DeleteUser(ctx, ada.ID))
		equal(s, name+": rows", rows(s, f.db), [3]int64{0, 0, 0})
	}
}

type withModel struct {
	gorm.Model
	gormkey.User
}

type withModelAfter struct {
	gormkey.User
	gorm.Model
}

type withPointer struct{ *gormkey.User }

type withOwnID struct {
	gormkey.User
	ID string `gorm:"primaryKey"`
}

type withIntID struct {
	gormkey.User
	ID uint
}

type withSecondKey struct {
	gormkey.User
	Tenant string `gorm:"primaryKey"`
}

type withTable struct{ gormkey.User }

func (withTable) TableName() string { return "people" }

type withHasMany struct {
	gormkey.User
	Devices []gormkey.Session[withHasMany]
}

type softDevice struct {
	gormkey.Session[account]
	DeletedAt gorm.DeletedAt
}

type softLogin struct {
	gormkey.Key[account]
	DeletedAt gorm.DeletedAt
}

type hidingLogin struct {
	gormkey.Key[account]
	HashedPassword string
}

type hidingDevice struct {
	gormkey.Session[account]
	Expires int64 `gorm:"column:idle_expires"`
}

type ownerDevice struct {
	gormkey.Session[account]
	UserID string `gorm:"column:owner"`
}

type pointerDevice struct{ *gormkey.Session[account] }

type pointerLogin struct{ *gormkey.Key[account] }

func useOf[U, K, S any, PU gormkey.UserModel[U], PK gormkey.KeyModel[U, K], PS gormkey.SessionModel[U, S]]() func(db *gorm.DB) error {
	return func(db *gorm.DB) error { return db.Use(gormkey.NewOf[U, K, S, PU, PK, PS]()) }
}

func use[U any, P gormkey.UserModel[U]](opts ...gormkey.Option) func(db *gorm.DB) error {
	return func(db *gorm.DB) error { return db.Use(gormkey.New[U, P](opts...)) }
}

func pluginRefused(s *suite) {
	db := s.newDB(s.T)
	for name, c := range map[string]struct {
		use  func(db *gorm.DB) error
		want string // what the message must say
	}{
		"gorm.Model before":    {use[withModel](), "replace it by the fields CreatedAt"},
		"gorm.Model after":     {use[withModelAfter](), "replace it by the fields CreatedAt"},
		"pointer":              {use[withPointer](), "by value"},
		"own id":               {use[withOwnID](), "redeclares the id"},
		"integer id":           {use[withIntID](), "give its type to WithUserIDType"},
		"second primary key":   {use[withSecondKey](), "primary key"},
		"table in two places":  {use[withTable](gormkey.WithTableNames(gormkey.TableNames{User: "others"})), "name it in one place"},
		"has-many":             {use[withHasMany](), `gorm:"foreignKey:UserID"`},
		"session by pointer":   {useOf[account, gormkey.Key[account], pointerDevice](), "by value"},
		"key by pointer":       {useOf[account, pointerLogin, gormkey.Session[account]](), "by value"},
		"equal tables":         {use[account](gormkey.WithTableNames(gormkey.TableNames{User: "t", Key: "T"})), "must differ"},
		"hostile table":        {use[account](gormkey.WithTableNames(gormkey.TableNames{User: "t; DROP TABLE x"})), "WithTableNames: User"},
		"three parts":          {use[account](gormkey.WithTableNames(gormkey.TableNames{Session: "a.b.c"})), "WithTableNames: Session"},
		"R43 periods":          {use[account](gormkey.WithSessionPeriods(0, -time.Second)), "idle is -1s"},
		"R43 long period":      {use[account](gormkey.WithSessionPeriods(11*365*24*time.Hour, time.Hour)), "active is 96360h"},
		"R43 nanoseconds":      {use[account](gormkey.WithSessionPeriods(time.Hour, 1500*time.Microsecond)), "idle is 1.5ms"},
		"absolute":             {use[account](gormkey.WithAbsoluteLifetime(0)), "WithAbsoluteLifetime"},
		"short absolute":       {use[account](gormkey.WithAbsoluteLifetime(time.Hour)), "under the active period"},
		"id length":            {use[account](gormkey.WithUserIDLength(7)), "WithUserIDLength: length is 7"},
		"id length above":      {use[account](gormkey.WithUserIDLength(256)), "WithUserIDLength: length is 256"},
		"long ids":             {use[account](gormkey.WithUserIDGenerator(func() string { return strings.Repeat("x", 16) })), "WithUserIDGenerator"},
		"empty ids":            {use[account](gormkey.WithUserIDGenerator(func() string { return "" })), "WithUserIDGenerator"},
		"uuid":                 {use[account](gormkey.WithUserIDType("uuid")), "WithUserIDGenerator"},
		"soft-deleted session": {useOf[account, gormkey.Key[account], softDevice](), "keys and sessions end for good"},
		"soft-deleted key":     {useOf[account, softLogin, gormkey.Session[account]](), "keys and sessions end for good"},
		"hidden password":      {useOf[account, hidingLogin, gormkey.Session[account]](), "hides HashedPassword"},
		"hidden expiry":        {useOf[account, gormkey.Key[account], hidingDevice](), `column "idle_expires"`},
		"hidden owner":         {useOf[account, gormkey.Key[account], ownerDevice](), "hides UserID"},
		"nil clock":            {use[account](gormkey.WithClock(nil)), "WithClock"},
		"hasher out of bounds": {use[account](gormkey.WithPasswordHasher(password.Argon2id{Memory: 1 << 22})), "WithPasswordHasher"},
		"nil hasher":           {use[account](gormkey.WithPasswordHasher(nil)), "WithPasswordHasher"},
		"nil policy":           {use[account](gormkey.WithPasswordPolicy(nil)), "WithPasswordPolicy"},
		"nil hook":             {use[account](gormkey.WithHook(nil)), "WithHook"},
	} {
		err := c.use(db)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			s.Errorf("%s: got %v, want a text with %q", name, err, c.want)
		}
	}
	if _, err := gormkey.From[account](s.accounts().db); !isErr(err, gormkey.ErrNotRegistered) || !strings.Contains(err.Error(), "FromOf") {
		s.Errorf("From where the plugin has own structs: got %v", err)
	}
	if _, err := gormkey.From[account](db); !isErr(err, gormkey.ErrNotRegistered) {
		s.Errorf("From after refusals: got %v", err)
	}
	must(s, use[account]()(db)) // a refusal leaves nothing behind
	if err := use[admin]()(db); err == nil || !strings.Contains(err.Error(), "belongs to the plugin") {
		s.Errorf("the tables of another user type: got %v", err)
	}
	for name, set := range map[string]func(c *gorm.Config){
		"DisableForeignKeyConstraintWhenMigrating": func(c *gorm.Config) { c.DisableForeignKeyConstraintWhenMigrating = true },
		"IgnoreRelationshipsWhenMigrating":         func(c *gorm.Config) { c.IgnoreRelationshipsWhenMigrating = true },
	} {
		db := s.newDB(s.T)
		set(db.Config)
		if !s.declared {
			must(s, db.Use(newAccounts(s)))
			continue
		}
		if err := use[account]()(db); err == nil || !strings.Contains(err.Error(), name) {
			s.Errorf("%s: got %v", name, err)
		}
	}
	must(s, use[withTable](gormkey.WithTableNames(gormkey.TableNames{User: "people", Key: "people_keys", Session: "people_sessions"}))(db))

	for name, parse := range map[string]func(db *gorm.DB) error{
		"a query":           func(db *gorm.DB) error { db.Find(&[]account{}); return nil },
		"an AutoMigrate":    func(db *gorm.DB) error { return db.AutoMigrate(&post{}) },
		"a derived session": func(db *gorm.DB) error { db.Session(&gorm.Session{}).Find(&[]gormkey.Session[account]{}); return nil },
	} {
		db := s.newDB(s.T)
		if s.refusesForeignKeys() {
			db.Config.DisableForeignKeyConstraintWhenMigrating = true
		}
		must(s, parse(db))
		if err := db.Use(newAccounts(s)); err == nil || !strings.Contains(err.Error(), "right after gorm.Open") {
			s.Errorf("Use after %s: got %v", name, err)
		}
	}
}

// numbered has a field that GORM may take for the foreign key of its keys.
type numbered struct {
	gormkey.User
	UserID *string `gorm:"size:64"`
}

func pluginUserIDField(s *suite) {
	f := open[numbered](s, s.newDB(s.T))
	ctx := s.Context()
	key := "email:u"
	u := &numbered{UserID: &key}
	must(s, f.CreateUser(ctx, u, email("u"), email("v")))
	_, err := f.SignIn(ctx, email("u"))
	must(s, err)
	if err := f.db.Create(&gormkey.Key[numbered]{ID: "email:orphan", UserID: "nobody"}).Error; err == nil {
		s.Error("a key of nobody: got no error")
	}
	must(s, f.RemoveKey(ctx, u.ID, keyID("email", "u")))
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
	must(s, f.db.Delete(&numbered{}, "id = ?", u.ID).Error)
	equal(s, "rows after a plain delete", rows(s, f.db), [3]int64{0, 0, 0})
}

func pluginGenerator(s *suite) {
	ids := []string{"valid-id-1", "valid-id-1", "", "has\x00nul", strings.Repeat("x", 16), " blank"}
	n := 0
	f := s.accounts(gormkey.WithUserIDGenerator(func() string { n++; return ids[(n-1)%len(ids)] }))
	must(s, f.CreateUser(s.Context(), &account{Email: "1"}, email("1")))
	for range 4 {
		err := f.CreateUser(s.Context(), &account{Email: "2"}, email("2"))
		wantErr(s, "bad id", err, gormkey.ErrInvalidArgument)
	}
	n = 0
	err := f.CreateUser(s.Context(), &account{Email: "2"}, email("2"))
	wantErr(s, "an id for the second time", err, gormkey.ErrDuplicateUser)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 0})
}

// pluginHandleSettings: a tenant in the handle's settings reaches the callbacks, and all
// or nothing holds where the application turned savepoints off.
func pluginHandleSettings(s *suite) {
	db := s.newDB(s.T)
	db.Config.DisableNestedTransaction = true
	f := open[tenanted](s, db)
	ctx := s.Context()
	must(s, db.Callback().Query().Before("gorm:query").Register("gorm:tenant", func(tx *gorm.DB) {
		if tenant, ok := tx.Get("tenant"); ok && tx.Statement.Schema != nil && tx.Statement.Schema.LookUpField("Tenant") != nil {
			tx.Where("auth_user.tenant = ?", tenant)
		}
	}))
	u := &tenanted{Tenant: "a"}
	must(s, f.CreateUser(ctx, u, email("u")))
	session, err := f.SignIn(ctx, email("u"))
	must(s, err)
	for _, tenant := range []string{"b", "a", "b"} {
		auth, err := gormkey.From[tenanted](db.Set("tenant", tenant))
		must(s, err)
		_, err = auth.ValidateSession(ctx, session.Token)
		_, signInErr := auth.SignIn(ctx, email("u"))
		_, createErr := auth.OpenSession(ctx, u.ID)
		if tenant == "a" {
			must(s, err)
			must(s, signInErr)
			must(s, createErr)
			continue
		}
		wantErr(s, "session of another tenant", err, gormkey.ErrInvalidSession)
		wantErr(s, "sign-in in another tenant", signInErr, gormkey.ErrInvalidCredentials)
		wantErr(s, "new session in another tenant", createErr, gormkey.ErrUserNotFound)
	}
	err = db.Transaction(func(tx *gorm.DB) error {
		err := f.With(tx).CreateUser(ctx, &tenanted{Tenant: "a"}, email("u"))
		if !s.batches {
			wantErr(s, "taken key", err, gormkey.ErrDuplicateKey)
		}
		return nil
	})
	equal(s, "the transaction fails with its batch", err != nil, s.batches)
	equal(s, "users", count(s, db, "auth_user"), 1)
}
