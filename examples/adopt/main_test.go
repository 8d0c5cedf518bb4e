package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// TestRun runs the example as it is.
func TestRun(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			var out strings.Builder
			must(t, run(t.Context(), &out, e.open(t), e.idType))
			if !strings.HasSuffix(out.String(), "\n3 users have keys\nuser 1 signed in with the password from before\n") {
				t.Errorf("got\n%s", &out)
			}
		})
	}
}

// email returns what somebody types into the form.
func email(address, password string) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: gormkey.FoldEmail(address), Password: password}
}

// takeOver makes the old application's tables and adopts them. It returns the old program's
// handle and the new one's.
func takeOver(t *testing.T, e engine, opts ...gormkey.Option) (old, db *gorm.DB, auth *gormkey.Repository[User]) {
	t.Helper()
	dialector := e.open(t)
	old = connect(t, dialector)
	must(t, before(old))
	db = connect(t, dialector)
	plugin := newPlugin(e.idType, opts...)
	must(t, adopt(t.Context(), io.Discard, db, plugin))
	auth, err := plugin.Repository()
	must(t, err)
	return old, db, auth
}

// TestAdopt: the rows stay, and everybody signs in as before.
func TestAdopt(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			ctx := t.Context()
			dialector := e.open(t)
			old := connect(t, dialector)
			must(t, before(old))
			kept := rows(t, old, "users", "posts")
			db := connect(t, dialector)
			plugin := newPlugin(e.idType)
			var out strings.Builder
			must(t, adopt(ctx, &out, db, plugin))
			for line := range strings.Lines(out.String()) {
				if !strings.HasPrefix(line, "CREATE ") && !strings.HasSuffix(line, "users have keys\n") {
					t.Errorf("the adoption also sends %s", line)
				}
			}
			if got := rows(t, old, "users", "posts"); got != kept {
				t.Errorf("got\n%s\nwant\n%s", got, kept)
			}
			auth, err := plugin.Repository()
			must(t, err)
			findings, err := auth.Audit(ctx)
			must(t, err)
			if len(findings) > 0 {
				t.Errorf("findings: %v", findings)
			}
			signIns(t, auth)
			passwords(t, auth)
			signUps(t, old, db, auth)
			deletes(t, old, db, auth)
			again(t, dialector, e)
		})
	}
}

func signIns(t *testing.T, auth *gormkey.Repository[User]) {
	t.Helper()
	for address, want := range map[string]error{
		"ADA@example.com ":  nil,
		"carol@example.com": gormkey.ErrInvalidCredentials, // MD5
		"bob@example.com":   gormkey.ErrInvalidCredentials, // no password
		"dan@example.com":   gormkey.ErrInvalidCredentials, // deleted
	} {
		if _, err := auth.SignIn(t.Context(), email(address, oldPassword)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", address, err, want)
		}
	}
	if _, err := auth.SignIn(t.Context(), email("ada@example.com", "another one")); !errors.Is(err, gormkey.ErrInvalidCredentials) {
		t.Errorf("a wrong password: got %v", err)
	}
	session, err := auth.SignIn(t.Context(), gormkey.Proved("github", "4711"))
	must(t, err)
	if session.UserID != "2" {
		t.Errorf("github: got user %s, want 2", session.UserID)
	}
}

func passwords(t *testing.T, auth *gormkey.Repository[User]) {
	t.Helper()
	ctx := t.Context()
	key, err := auth.GetKey(ctx, gormkey.KeyID{Provider: "email", ID: "ada@example.com"})
	must(t, err)
	if !strings.HasPrefix(string(*key.HashedPassword), "$argon2id$") { // since somebody signed in by it
		t.Error("the hash from before was not replaced")
	}
	token, err := forgotPassword(ctx, auth, "Carol@example.com")
	must(t, err)
	_, err = auth.ResetPassword(ctx, token, "a new password")
	must(t, err)
	_, err = auth.SignIn(ctx, email("carol@example.com", "a new password"))
	must(t, err)
}

// signUps come from both programs. An id is an integer, and posts point at it.
func signUps(t *testing.T, old, db *gorm.DB, auth *gormkey.Repository[User]) {
	t.Helper()
	grace, err := signUp(t.Context(), auth, "Grace@example.com", "a new password")
	must(t, err)
	if n, err := strconv.ParseInt(grace.ID, 10, 64); err != nil || n < 5 || grace.Email != "grace@example.com" {
		t.Errorf("got user %+v", grace)
	}
	must(t, db.Omit(clause.Associations).Create(&Post{UserID: grace.ID}).Error)
	if db.Omit(clause.Associations).Create(&Post{UserID: "99"}).Error == nil {
		t.Error("a post of nobody was stored")
	}
	if _, err := signUp(t.Context(), auth, "ada@example.com", "a new password"); !errors.Is(err, gormkey.ErrDuplicateKey) && !errors.Is(err, gormkey.ErrDuplicateAttribute) {
		t.Errorf("an address that is taken: got %v", err)
	}
	if _, err := auth.GetUser(t.Context(), "abc"); !errors.Is(err, gormkey.ErrInvalidArgument) {
		t.Errorf("GetUser of no integer: got %v", err)
	}
	must(t, old.Create(&OldUser{Email: "late@example.com"}).Error)
}

// deletes: a soft delete leaves the posts, and a real one does what their foreign key says.
func deletes(t *testing.T, old, db *gorm.DB, auth *gormkey.Repository[User]) {
	t.Helper()
	posts := func() (n int64) {
		must(t, old.Model(&OldPost{}).Where("user_id = 1").Count(&n).Error)
		return n
	}
	must(t, auth.DeleteUser(t.Context(), "1"))
	if _, err := auth.SignIn(t.Context(), email("ada@example.com", oldPassword)); !errors.Is(err, gormkey.ErrInvalidCredentials) {
		t.Errorf("the sign-in of a deleted user: got %v", err)
	}
	if n := posts(); n != 1 {
		t.Errorf("posts after a soft delete: got %d, want 1", n)
	}
	must(t, db.Unscoped().Delete(&User{User: gormkey.User{ID: "1"}}).Error)
	if n := posts(); n != 0 {
		t.Errorf("posts after a delete: got %d, want 0", n)
	}
}

// again adopts a second time: only the user whom the old program has added gets a key.
func again(t *testing.T, dialector gorm.Dialector, e engine) {
	t.Helper()
	for _, want := range []string{"1 users have keys\n", ""} {
		var out strings.Builder
		db := connect(t, dialector)
		kept := rows(t, db, "users", "posts", "user_sessions")
		must(t, adopt(t.Context(), &out, db, newPlugin(e.idType)))
		if out.String() != want || rows(t, db, "users", "posts", "user_sessions") != kept {
			t.Errorf("again: got\n%s\nwant\n%s", &out, want)
		}
	}
}

// TestCollisions: the import names the users of whom two have one address, and gives the key to
// the first.
func TestCollisions(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			old, db, auth := takeOver(t, e)
			must(t, old.Create(&[]OldUser{{Email: " ADA@example.com"}, {Email: "eve@example.com"}}).Error)
			err := importKeys(t.Context(), db, auth, func(int) {})
			if !errors.Is(err, gormkey.ErrDuplicateKey) || err.Error() != "user 5, email:ada@example.com: gormkey: duplicate key" {
				t.Errorf("got %v", err)
			}
			_, err = auth.GetKey(t.Context(), gormkey.KeyID{Provider: "email", ID: "eve@example.com"})
			must(t, err)
			query := map[string]string{"mariadb": "collisions-mysql", "postgresql": "collisions-postgresql"}[e.name]
			if query == "" {
				return
			}
			var found []struct{ Address, Users string }
			must(t, old.Raw(pageSQL(t, query)[0]).Scan(&found).Error)
			if len(found) != 1 || found[0].Address != "ada@example.com" || strings.Trim(found[0].Users, "{}") != "1,5" {
				t.Errorf("the query finds %+v", found)
			}
		})
	}
}

// TestFoldEmails: the column gets the form that new sign-ups have.
func TestFoldEmails(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			_, db, _ := takeOver(t, e)
			must(t, foldEmails(t.Context(), db))
			var emails []string
			must(t, db.Model(&User{}).Order("id").Pluck("email", &emails).Error)
			if got := strings.Join(emails, " "); got != "ada@example.com bob@example.com carol@example.com" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestBack: with bcrypt kept, the old program goes on with the passwords of the new one.
func TestBack(t *testing.T) {
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			ctx := t.Context()
			old, db, auth := takeOver(t, e, gormkey.WithPasswordHasher(password.Bcrypt{}))
			_, err := auth.ChangePassword(ctx, email("ada@example.com", oldPassword), "a new password", "")
			must(t, err)
			_, err = signUp(ctx, auth, "grace@example.com", "a new password")
			must(t, err)
			for _, block := range []string{"back-" + e.name, "drop"} {
				for _, statement := range pageSQL(t, block) {
					must(t, old.Exec(statement).Error)
				}
			}
			for _, address := range []string{"Ada@Example.com", "grace@example.com"} {
				var user OldUser
				must(t, old.Where("email = ?", address).First(&user).Error)
				must(t, bcrypt.CompareHashAndPassword([]byte(user.PasswordHash), []byte("a new password")))
			}
			must(t, old.Create(&OldUser{Email: "late@example.com"}).Error)
			if db.Migrator().HasTable("user_keys") {
				t.Error("the table of keys is there")
			}
		})
	}
}

// TestCounter: ids that go on counting, and identity columns that take no other.
func TestCounter(t *testing.T) {
	t.Run("postgresql", func(t *testing.T) {
		old, db, auth := takeOver(t, engines[1])
		id, err := nextUserID(t.Context(), db)
		must(t, err)
		must(t, auth.CreateUser(t.Context(), &User{User: gormkey.User{ID: id}, Email: "grace@example.com"}))
		if id != "5" {
			t.Errorf("got id %s, want 5", id)
		}
		must(t, old.Exec("ALTER TABLE users ALTER COLUMN id DROP DEFAULT; DROP SEQUENCE users_id_seq; ALTER TABLE users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (START 100)").Error)
		if _, err := signUp(t.Context(), auth, "heidi@example.com", "a new password"); err == nil || !strings.Contains(err.Error(), "428C9") {
			t.Errorf("got %v, want 428C9", err)
		}
		must(t, old.Exec(pageSQL(t, "identity")[0]).Error)
		_, err = signUp(t.Context(), auth, "heidi@example.com", "a new password")
		must(t, err)
		id, err = nextUserID(t.Context(), db)
		if must(t, err); id != "100" {
			t.Errorf("got id %s, want 100", id)
		}
	})
	t.Run("mariadb", func(t *testing.T) {
		old, _, auth := takeOver(t, engines[2])
		statements := pageSQL(t, "sequence")
		must(t, old.Exec(statements[0]).Error)
		var id string
		must(t, old.Raw(statements[1]).Scan(&id).Error)
		must(t, auth.CreateUser(t.Context(), &User{User: gormkey.User{ID: id}, Email: "grace@example.com"}))
	})
}

// BenchmarkImport imports 100,000 users in three ways.
func BenchmarkImport(b *testing.B) {
	ctx := context.Background()
	for name, load := range map[string]func(db *gorm.DB, auth *gormkey.Repository[User], users []oldRow) error{
		"importKeys": func(db *gorm.DB, auth *gormkey.Repository[User], _ []oldRow) error {
			return importKeys(ctx, db, auth, func(int) {})
		},
		"AddKey": func(_ *gorm.DB, auth *gormkey.Repository[User], users []oldRow) error {
			return addEach(ctx, auth, users)
		},
		"AddKey, 1000 a transaction": func(db *gorm.DB, auth *gormkey.Repository[User], users []oldRow) error {
			for len(users) > 0 {
				n := min(len(users), 1000)
				if err := db.Transaction(func(tx *gorm.DB) error { return addEach(ctx, auth.With(tx), users[:n]) }); err != nil {
					return err
				}
				users = users[n:]
			}
			return nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				dialector := engines[1].open(b)
				old := connect(b, dialector)
				must(b, before(old))
				must(b, old.Exec("INSERT INTO users (email, password_hash) SELECT 'u' || n || '@example.com', (SELECT password_hash FROM users WHERE id = 1) FROM generate_series(1, 100000) n").Error)
				db := connect(b, dialector)
				plugin := newPlugin("bigint")
				must(b, db.Use(plugin))
				must(b, plugin.AutoMigrate(db, &Post{}))
				auth, err := plugin.Repository()
				must(b, err)
				var users []oldRow
				must(b, db.Model(&User{}).Order("id").Find(&users).Error)
				b.StartTimer()
				must(b, load(db, auth, users))
			}
		})
	}
}

func addEach(ctx context.Context, auth *gormkey.Repository[User], users []oldRow) error {
	for _, user := range users {
		for _, key := range keysOf[User](user) {
			if key.HashedPassword == nil {
				continue
			}
			if _, err := auth.AddKey(ctx, user.ID, gormkey.Imported("email", key.KeyID().ID, *key.HashedPassword)); err != nil {
				return err
			}
		}
	}
	return nil
}
