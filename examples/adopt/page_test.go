package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
	"github.com/gormkey/gormkey/tables"
)

func page(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/adopt.md")
	must(t, err)
	return string(text)
}

// pageSQL returns the statements of a block of the page, which a comment before it names.
func pageSQL(t testing.TB, name string) []string {
	t.Helper()
	block := regexp.MustCompile("(?s)<!-- " + name + " -->\n+```sql\n(.*?)```").FindStringSubmatch(page(t))
	if block == nil {
		t.Fatalf("docs/adopt.md has no SQL %s", name)
	}
	return strings.Split(strings.TrimSuffix(strings.TrimSpace(block[1]), ";"), ";\n")
}

// TestPage: the code of the page is the example's.
func TestPage(t *testing.T) {
	files, err := filepath.Glob("*.go")
	must(t, err)
	var code strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		code.Write(text)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(page(t), -1)
	for _, block := range blocks {
		for _, part := range strings.Split(block[1], "\n\n") {
			if !strings.Contains(code.String(), strings.TrimSpace(part)) {
				t.Errorf("the example does not have\n%s", part)
			}
		}
	}
	if len(blocks) < 5 {
		t.Errorf("the page has %d blocks of Go", len(blocks))
	}
	for _, block := range regexp.MustCompile("(.*)\n```sql").FindAllStringSubmatch(page(t), -1) {
		if !strings.HasPrefix(block[1], "<!-- ") {
			t.Errorf("SQL after %q has no name, so that no test runs it", block[1])
		}
	}
}

// TestRefusals: the library says the words that stand in the page's table.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		engine int
		use    func(db *gorm.DB) error
		want   string
	}{
		"model": {0, func(db *gorm.DB) error {
			type User struct {
				gormkey.User
				gorm.Model
			}
			return db.Use(gormkey.New[User]())
		}, "replace it by the fields CreatedAt, UpdatedAt and DeletedAt"},
		"id": {0, func(db *gorm.DB) error {
			type User struct {
				gormkey.User
				ID uint
			}
			return db.Use(gormkey.New[User]())
		}, "redeclares the id"},
		"no type":          {1, func(db *gorm.DB) error { return db.Use(named()) }, `give WithUserIDType("bigint")`},
		"no type, MariaDB": {2, func(db *gorm.DB) error { return db.Use(named()) }, `give WithUserIDType("bigint(20) unsigned")`},
		"no generator":     {1, func(db *gorm.DB) error { return db.Use(named(gormkey.WithUserIDType("bigint"))) }, "wants WithUserIDGenerator"},
		"counter": {2, func(db *gorm.DB) error {
			return db.Use(named(gormkey.WithUserIDType("bigint unsigned AUTO_INCREMENT"), gormkey.WithUserIDGenerator(newUserID)))
		}, "give the type alone"},
		"no names":          {1, noNames, "name it by WithTableNames"},
		"no names, MariaDB": {2, noNames, "name it by WithTableNames"},
	} {
		t.Run(name, func(t *testing.T) {
			dialector := engines[c.engine].open(t)
			must(t, before(connect(t, dialector)))
			err := c.use(connect(t, dialector))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(page(t), c.want) {
				t.Errorf("got %v, want %q in it and in the page", err, c.want)
			}
		})
	}
}

func named(opts ...gormkey.Option) *gormkey.Plugin[User] {
	return gormkey.New[User](append(opts, gormkey.WithTableNames(gormkey.TableNames{User: "users"}))...)
}

// noNames makes tables of its own next to the users'.
func noNames(db *gorm.DB) error {
	plugin := gormkey.New[User]()
	if err := db.Use(plugin); err != nil {
		return err
	}
	return plugin.AutoMigrate(db, &Post{})
}

// TestUnique: GORM takes a column that was made with the word UNIQUE for another than one with a
// unique index of its own.
func TestUnique(t *testing.T) {
	type Named struct {
		gormkey.User
		Email string `gorm:"size:255;unique"`
	}
	dialector := engines[1].open(t)
	must(t, connect(t, dialector).Exec("CREATE TABLE users (id uuid PRIMARY KEY, email varchar(255) UNIQUE)").Error)
	opts := []gormkey.Option{
		gormkey.WithTableNames(gormkey.TableNames{User: "users"}), gormkey.WithUserIDType("uuid"), gormkey.WithUserIDGenerator(uuid.NewString),
	}
	db := connect(t, dialector)
	other := gormkey.New[Member](opts...)
	must(t, db.Use(other))
	const want = `ALTER TABLE "users" DROP CONSTRAINT "uni_users_email"`
	if pending, err := other.PendingSQL(db); err != nil || !slices.Contains(pending, want) || !strings.Contains(page(t), "DROP CONSTRAINT") {
		t.Errorf("pending: got %q, %v, want %s in it and in the page", pending, err, want)
	}
	db = connect(t, dialector)
	plugin := gormkey.New[Named](opts...)
	must(t, db.Use(plugin))
	pending, err := plugin.PendingSQL(db)
	must(t, err)
	for _, statement := range pending {
		if !strings.HasPrefix(statement, "CREATE ") {
			t.Errorf("pending: %s", statement)
		}
	}
	must(t, plugin.AutoMigrate(db))
}

// TestRestrict: a foreign key without ON DELETE keeps the user and the posts.
func TestRestrict(t *testing.T) {
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			dialector := e.open(t)
			old := connect(t, dialector)
			for _, statement := range []string{
				"CREATE TABLE users (id uuid PRIMARY KEY, email varchar(255), password_hash varchar(255) NOT NULL, github_id varchar(32))",
				"CREATE TABLE posts (id bigint PRIMARY KEY, user_id uuid NOT NULL, CONSTRAINT fk_posts_user FOREIGN KEY (user_id) REFERENCES users (id))",
			} {
				must(t, old.Exec(statement).Error)
			}
			db := connect(t, dialector)
			plugin := newMembers(gormkey.WithUserIDType("uuid"))
			must(t, db.Use(plugin))
			must(t, plugin.AutoMigrate(db))
			auth, err := plugin.Repository()
			must(t, err)
			grace := &Member{Email: "grace@example.com"}
			must(t, auth.CreateUser(t.Context(), grace, email("grace@example.com", "a new password")))
			must(t, old.Exec("INSERT INTO posts (id, user_id) VALUES (1, ?)", grace.ID).Error)
			if err := auth.DeleteUser(t.Context(), grace.ID); !errors.Is(err, gorm.ErrForeignKeyViolated) {
				t.Errorf("got %v", err)
			}
			_, err = auth.SignIn(t.Context(), email("grace@example.com", "a new password"))
			must(t, err)
		})
	}
}

// TestLetterCase: ids that differ between the tables in letter case alone.
func TestLetterCase(t *testing.T) {
	db := connect(t, newMariaDB(t))
	for _, statement := range []string{
		"CREATE TABLE users (id char(36) PRIMARY KEY)",
		"CREATE TABLE posts (id bigint PRIMARY KEY, user_id char(36) NOT NULL, CONSTRAINT fk_posts_user FOREIGN KEY (user_id) REFERENCES users (id))",
		"INSERT INTO users VALUES ('0195D6F2-7C1E-7A3B-9F55-713058912981')",
		"INSERT INTO posts VALUES (1, '0195d6f2-7c1e-7a3b-9f55-713058912981')",
	} {
		must(t, db.Exec(statement).Error)
	}
	statements := pageSQL(t, "varbinary")
	must(t, db.Exec(statements[0]).Error)
	must(t, db.Exec(statements[1]).Error)
	if db.Exec(statements[2]).Error == nil {
		t.Error("the foreign key was added")
	}
	must(t, db.Exec("ALTER TABLE users MODIFY id char(36) NOT NULL").Error)
	must(t, db.Exec("UPDATE users SET id = LOWER(id)").Error) // as the page has it
	must(t, db.Exec("UPDATE posts SET user_id = LOWER(user_id)").Error)
	must(t, db.Exec(statements[1]).Error)
	must(t, db.Exec(statements[2]).Error)
}

// TestUUIDs: each type of a uuid, and the statements of the page where it has to change.
func TestUUIDs(t *testing.T) {
	for name, c := range map[string]struct {
		engine          int
		idType, newUUID string
		option          gormkey.Option
		refusal, change string
	}{
		"PostgreSQL uuid":    {1, "uuid", "gen_random_uuid()", gormkey.WithUserIDType("uuid"), `give WithUserIDType("uuid")`, ""},
		"PostgreSQL varchar": {1, "varchar(36)", "gen_random_uuid()", gormkey.WithUserIDLength(36), "give WithUserIDLength(36)", ""},
		"PostgreSQL text":    {1, "text", "gen_random_uuid()", gormkey.WithUserIDType("text"), `give WithUserIDType("text")`, ""},
		"PostgreSQL char":    {1, "char(36)", "gen_random_uuid()", gormkey.WithUserIDType("character(36)"), `give WithUserIDType("character(36)")`, ""},
		"MariaDB uuid":       {2, "uuid", "uuid()", gormkey.WithUserIDType("uuid"), `give WithUserIDType("uuid")`, ""},
		"MariaDB char":       {2, "char(36)", "uuid()", gormkey.WithUserIDLength(36), "give WithUserIDLength(36), and run \"ALTER TABLE `users` MODIFY `id` varbinary(36) NOT NULL\"", "varbinary"},
		"MariaDB varchar":    {2, "varchar(36)", "uuid()", gormkey.WithUserIDLength(36), "give WithUserIDLength(36), and run \"ALTER TABLE `users` MODIFY `id` varbinary(36) NOT NULL\"", "varbinary"},
		"MariaDB binary":     {2, "binary(16)", "unhex(replace(uuid(), '-', ''))", gormkey.WithUserIDType("uuid"), "give WithUserIDType(\"uuid\"), and run \"ALTER TABLE `users` MODIFY `id` uuid NOT NULL\"", "uuid"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			dialector := engines[c.engine].open(t)
			old := connect(t, dialector)
			hash, err := password.Bcrypt{}.Hash(oldPassword)
			must(t, err)
			for _, statement := range []string{
				"CREATE TABLE users (id " + c.idType + " PRIMARY KEY, email varchar(255) NOT NULL, password_hash varchar(255) NOT NULL, github_id varchar(32))",
				"CREATE UNIQUE INDEX idx_users_email ON users (email)",
				"CREATE TABLE posts (id bigint PRIMARY KEY, user_id " + c.idType + " NOT NULL, CONSTRAINT fk_posts_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE)",
				"INSERT INTO users (id, email, password_hash) VALUES (" + c.newUUID + ", 'Ada@example.com', '" + hash + "')",
				"INSERT INTO posts (id, user_id) SELECT 1, id FROM users",
			} {
				must(t, old.Exec(statement).Error)
			}
			if err := connect(t, dialector).Use(gormkey.New[Member](gormkey.WithTableNames(gormkey.TableNames{User: "users"}))); !errors.Is(err, tables.ErrColumn) || !strings.Contains(err.Error(), c.refusal) {
				t.Errorf("without the option: got %v, want %s", err, c.refusal)
			}
			if c.change != "" {
				for _, statement := range pageSQL(t, c.change) {
					must(t, old.Exec(statement).Error)
				}
			}
			db := connect(t, dialector)
			plugin := newMembers(c.option)
			must(t, db.Use(plugin))
			must(t, plugin.AutoMigrate(db))
			auth, err := plugin.Repository()
			must(t, err)
			must(t, importKeys(ctx, db, auth, func(int) {}))
			pending, err := plugin.PendingSQL(db)
			must(t, err)
			if len(pending) > 0 {
				t.Errorf("pending: %q", pending)
			}
			key, err := auth.UseKey(ctx, email("ada@example.com", oldPassword))
			must(t, err)
			grace := &Member{Email: "grace@example.com"}
			must(t, auth.CreateUser(ctx, grace, email("grace@example.com", "a new password")))
			if len(key.UserID) != 36 || len(grace.ID) != 36 {
				t.Errorf("got ids %q and %q", key.UserID, grace.ID)
			}
			must(t, db.Exec("INSERT INTO posts (id, user_id) VALUES (2, ?)", grace.ID).Error)
			must(t, auth.DeleteUser(ctx, key.UserID))
			var left []string
			must(t, db.Raw("SELECT user_id FROM posts").Scan(&left).Error)
			if len(left) != 1 || left[0] != grace.ID {
				t.Errorf("posts left: %q, want those of %q", left, grace.ID)
			}
		})
	}
}
