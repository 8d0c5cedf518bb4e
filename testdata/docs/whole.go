package page

import (
	"context"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"docs/kit"
)

// checkGuides: what stands in whole_handlers.go, under the name of a guide, is that guide's to the letter.
func checkGuides(t *testing.T) {
	t.Helper()
	mod, err := os.ReadFile("../go.mod")
	kit.Must(t, err)
	_, root, _ := strings.Cut(string(mod), "replace github.com/gormkey/gormkey => ")
	guides := filepath.Join(strings.TrimSpace(root), "docs", "guides")
	table, err := os.ReadFile(filepath.Join(guides, "whole.md"))
	kit.Must(t, err)
	source, err := os.ReadFile("../pages/whole/whole_handlers.go")
	kit.Must(t, err)
	file, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	kit.Must(t, err)
	copied := 0
	for _, d := range file.Decls {
		if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.IMPORT {
			continue
		}
		copied++
		code := string(source[d.Pos()-1 : d.End()-1])
		name := ""
		switch d := d.(type) {
		case *ast.FuncDecl:
			name = d.Name.Name
		case *ast.GenDecl:
			name = d.Specs[0].(*ast.TypeSpec).Name.Name
		}
		_, page, _ := strings.Cut(string(source[:d.Pos()])[strings.LastIndex(string(source[:d.Pos()]), "\n// These are in "):], "docs/guides/")
		page, _, _ = strings.Cut(page, ".md")
		guide, err := os.ReadFile(filepath.Join(guides, page+".md"))
		kit.Must(t, err)
		if !strings.Contains(string(guide), "\n"+code+"\n") {
			t.Errorf("%s is not that of %s.md:\n%s", name, page, code)
		}
		_, row, _ := strings.Cut(string(table), "("+page+".md) | ")
		row, _, _ = strings.Cut(row, "\n")
		if !strings.Contains(row, "`"+name+"`") {
			t.Errorf("%s is not in the row of %s.md: %s", name, page, row)
		}
	}
	if copied < 25 {
		t.Errorf("there are %d pieces of the guides", copied)
	}
}

func Check(t *testing.T) {
	checkGuides(t)
	box := kit.NewMails(t)
	a, err := newApp(kit.DSN(t), box.Send)
	kit.Must(t, err)
	kit.Close(t, a.db)
	jobs, cancel := context.WithCancel(t.Context())
	pace, hourly, ended := make(chan time.Time), make(chan time.Time), make(chan struct{}, 2)
	go func() { a.sendResets(jobs, pace); ended <- struct{}{} }()
	go func() { a.cleanUp(jobs, hourly); ended <- struct{}{} }()
	defer func() { cancel(); <-ended; <-ended }()
	hourly <- time.Now()

	ada := kit.Serve(t, a.routes())
	phone, eve := ada.Another(), ada.Another()
	post := func(b *kit.Browser, path string, want int, form ...string) {
		t.Helper()
		if status, body := b.Post(path, form...); status != want {
			t.Errorf("POST %s %v: got %d %q, want %d", path, form, status, body, want)
		}
	}
	get := func(b *kit.Browser, path string, want int) string {
		t.Helper()
		status, body := b.Get(path)
		if status != want {
			t.Errorf("GET %s: got %d %q, want %d", path, status, body, want)
		}
		return body
	}

	// Every route of a user asks for one.
	for _, path := range []string{"/verify", "/verify/resend", "/account/email", "/account/email/confirm", "/account/devices/end", "/account/devices/end-others"} {
		post(eve, path, 401)
	}
	for _, path := range []string{"/account", "/account/devices", "/admin/users"} {
		get(eve, path, 401)
	}

	// Sign up, in and out.
	post(ada, "/sign-up", 400, "email", "", "password", kit.Password)
	post(ada, "/sign-up", 303, "email", " Ada@Example.com", "password", kit.Password)
	kit.Equal(t, "account", get(ada, "/account", 200), "ada@example.com is signed in")
	_, first := box.Next()
	post(eve, "/sign-up", 409, "email", "ada@example.com", "password", kit.Password)
	post(ada, "/sign-out", 303)
	get(ada, "/account", 401)
	post(ada, "/sign-in", 303, "email", "ADA@example.com", "password", kit.Password)
	post(phone, "/sign-in", 303, "email", "ada@example.com", "password", kit.Password)

	// Verify; and the admin's page, which asks for both.
	get(ada, "/admin/users", 403)
	kit.Must(t, a.db.Model(&Account{}).Where("email = ?", "ada@example.com").Update("role", "admin").Error)
	get(ada, "/admin/users", 403)
	post(ada, "/verify/resend", 303)
	_, token := box.Next()
	if page := get(ada, "/verify?token="+token, 200); !strings.Contains(page, `value="`+token+`"`) || !strings.Contains(page, `action="?"`) {
		t.Errorf("the page of the link: %s", page)
	}
	post(ada, "/verify", 422, "token", first)
	post(ada, "/verify", 303, "token", token)
	var all []Account
	kit.Must(t, json.Unmarshal([]byte(get(ada, "/admin/users", 200)), &all))
	if len(all) != 1 || all[0].Email != "ada@example.com" || all[0].VerifiedAt == nil || all[0].CreatedAt.IsZero() {
		t.Errorf("users: got %+v", all)
	}

	// Devices, with the columns of each session.
	var devices []listed
	kit.Must(t, json.Unmarshal([]byte(get(ada, "/account/devices", 200)), &devices))
	kit.Equal(t, "devices", len(devices), 2)
	for _, d := range devices {
		if d.IP != "127.0.0.1" || d.UserAgent == "" || d.SeenAt.IsZero() {
			t.Errorf("device: %+v", d)
		}
		if !d.This {
			post(ada, "/account/devices/end", 303, "id", string(d.ID))
		}
	}
	get(phone, "/account", 401)
	post(phone, "/sign-in", 303, "email", "ada@example.com", "password", kit.Password)
	post(ada, "/account/devices/end-others", 303)
	get(phone, "/account", 401)

	// A new address, and then a new password by mail to it.
	post(ada, "/account/email", 303, "email", "Lovelace@example.com", "password", kit.Password)
	to, token := box.Next()
	kit.Equal(t, "mailed to", to, "lovelace@example.com")
	if page := get(ada, "/account/email/confirm?token="+token, 200); !strings.Contains(page, token) {
		t.Errorf("the page of the link: %s", page)
	}
	post(ada, "/account/email/confirm", 303, "token", token)
	to, _ = box.Next()
	kit.Equal(t, "the notice goes to", to, "ada@example.com")
	post(eve, "/forgot-password", 200, "email", "lovelace@example.com")
	pace <- time.Now()
	_, token = box.Next()
	if page := get(eve, "/reset-password?token="+token, 200); !strings.Contains(page, token) {
		t.Errorf("the page of the link: %s", page)
	}
	post(eve, "/reset-password", 303, "token", token, "password", "another good password")
	get(ada, "/account", 401)
	post(ada, "/sign-in", 401, "email", "lovelace@example.com", "password", kit.Password)
	post(ada, "/sign-in", 303, "email", "lovelace@example.com", "password", "another good password")

	// A mail that fails refuses no sign-up. And a new account is a member, with its device.
	a.mail = func(string, string, string) error { return errors.New("no mailer") }
	bob := eve.Another()
	post(bob, "/sign-up", 303, "email", "bob@example.com", "password", kit.Password)
	kit.Must(t, json.Unmarshal([]byte(get(bob, "/account/devices", 200)), &devices))
	if len(devices) != 1 || devices[0].IP == "" {
		t.Errorf("bob's devices: %+v", devices)
	}
	get(bob, "/admin/users", 403)
	kit.Must(t, a.db.Model(&Account{}).Where("email = ?", "bob@example.com").Update("verified_at", time.Now()).Error)
	get(bob, "/admin/users", 403) // verified, and no admin
	for range 30 {
		if status, _ := bob.Post("/sign-up", "email", kit.Password+time.Now().String(), "password", "short"); status == 429 {
			return
		}
	}
	t.Error("sign-ups are not counted")
}
