package gormkeytest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
)

// valued is a user with columns that not every value fits.
type valued struct {
	gormkey.User
	Email string            `gorm:"size:255;uniqueIndex"`
	Age   int               `gorm:"not null;default:0"`
	Notes map[string]string `gorm:"serializer:json"`
}

// quotedErrors are values of an application that read like a database's refusal.
var quotedErrors = []string{
	"UNIQUE constraint failed", "UNIQUE constraint failed: auth_user.id", "FOREIGN KEY constraint failed",
	"duplicate key value violates unique constraint", "Duplicate entry 'x' for key 'user_key.PRIMARY'",
	"sql: database is closed", "invalid connection", "sql: transaction has already been committed or rolled back",
}

// valueErrors: what an error is called comes from the database's code and not from a text,
// and neither errors nor logs quote what the application stored.
func valueErrors(s *suite) {
	const canary = "canary-41d8cd98"
	db := s.newDB(s.T)
	logs := &logBuffer{}
	db.Config.Logger = logger.New(logs, logger.Config{LogLevel: logger.Info, SlowThreshold: time.Nanosecond})
	f := open[valued](s, db)
	ctx := s.Context()
	ada := &valued{Email: "ada@example.com", Notes: map[string]string{"a": "b"}}
	must(s, f.CreateUser(ctx, ada, email(ada.Email)))
	session, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	logs.out.Reset()
	failed := 0
	check := func(what string, err error) {
		s.Helper()
		for _, wrong := range []error{
			gormkey.ErrDuplicateAttribute, gormkey.ErrDuplicateKey, gormkey.ErrDuplicateUser, gormkey.ErrOutcomeUnknown, gormkey.ErrInvalidArgument,
			gorm.ErrForeignKeyViolated, gorm.ErrDuplicatedKey,
		} {
			if isErr(err, wrong) {
				s.Errorf("%s: got error %v, which is %v", what, err, wrong)
			}
		}
		if err != nil {
			failed++
			if strings.Contains(err.Error(), canary) {
				s.Errorf("%s: the error quotes the value: %v", what, err)
			}
			if errors.Unwrap(err) == nil {
				s.Errorf("%s: got %#v, want the cause behind it", what, err)
			}
		}
		if strings.Contains(logs.out.String(), canary) {
			s.Errorf("%s: the log quotes the value:\n%s", what, logs.out.String())
		}
		logs.out.Reset()
	}
	spoil := func(column, value string) {
		s.Helper()
		quiet := f.db.Session(&gorm.Session{NewDB: true, Logger: logger.Discard})
		must(s, quiet.Exec("UPDATE auth_user SET "+column+" = ? WHERE id = ?", value, ada.ID).Error)
	}
	for _, text := range quotedErrors {
		_, err := f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Age": text + canary})
		check("a text for a number: "+text, err)
		_, err = f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Age": 30})
		must(s, err)
	}
	want := len(quotedErrors)
	if db.Name() == "mysql" {
		var mode string
		if must(s, db.Raw("SELECT @@sql_mode").Scan(&mode).Error); !strings.Contains(mode, "STRICT") {
			want = 0 // the server makes a number of it
		}
	}
	equal(s, "failed updates", failed, want)

	for _, bad := range []string{`"` + canary, `["` + canary + `"]`} {
		spoil("notes", bad)
		failed = 0
		_, err = f.GetUser(ctx, ada.ID)
		check("GetUser", err)
		_, err = f.ValidateSession(ctx, session.Token)
		check("ValidateSession", err)
		_, err = f.SignIn(ctx, email(ada.Email))
		check("SignIn", err)
		_, err = f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Age": 31})
		check("UpdateUserAttributes", err)
		check("DeleteUser", f.DeleteUser(ctx, ada.ID))
		equal(s, fmt.Sprintf("calls that failed on %q", bad[:1]), failed, 5)
		equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
	}
	spoil("notes", `{}`)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	wantErr(s, "a taken value", f.CreateUser(ctx, &valued{Email: ada.Email}), gormkey.ErrDuplicateAttribute)
}

// valueSerialized: a column with a serializer is set by the value that the model has.
func valueSerialized(s *suite) {
	f := open[valued](s, s.newDB(s.T))
	ctx := s.Context()
	ada := &valued{Email: "ada@example.com", Notes: map[string]string{"a": "b"}}
	must(s, f.CreateUser(ctx, ada))
	for _, notes := range []map[string]string{{"c": "d", "e": "f"}, {}} {
		got, err := f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Notes": notes, "age": 30})
		must(s, err)
		equal(s, "notes", fmt.Sprint(got.Notes), fmt.Sprint(notes))
		equal(s, "age", got.Age, 30)
	}
	got, err := f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"notes": gorm.Expr("?", `{"g":"h"}`)})
	must(s, err)
	equal(s, "notes by an expression", fmt.Sprint(got.Notes), "map[g:h]")
}
