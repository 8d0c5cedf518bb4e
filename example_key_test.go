package gormkey_test

import (
	"errors"
	"fmt"
	"log"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

func ExampleRepositoryOf_AddKey() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	second := gormkey.Credentials{Provider: "email", ID: gormkey.FoldEmail("Ada@Work.example"), Password: "another good password"}
	key, err := auth.AddKey(ctx, ada.ID, second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.KeyID())
	session, err := auth.SignIn(ctx, second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.User.Email)
	// Output:
	// email:ada@work.example
	// ada@example.com
}

func ExampleRepositoryOf_GetKey() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	key, err := auth.GetKey(ctx, gormkey.KeyID{Provider: "email", ID: "ada@example.com"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.UserID == ada.ID, key.PasswordDefined(), *key.HashedPassword)
	_, err = auth.GetKey(ctx, gormkey.KeyID{Provider: "email", ID: "bob@example.com"})
	fmt.Println(err)
	// Output:
	// true true [redacted]
	// gormkey: key not found
}

func ExampleRepositoryOf_UserKeys() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	if _, err := auth.AddKey(ctx, ada.ID, gormkey.Proved("github", "42")); err != nil {
		log.Fatal(err)
	}
	keys, err := auth.UserKeys(ctx, ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range keys {
		fmt.Println(key.KeyID().Provider, key.PasswordDefined())
	}
	// Output:
	// email true
	// github false
}

// The address changes, and the password stays.
func ExampleRepositoryOf_RenameKey() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	if err := auth.RenameKey(ctx, ada.ID, exampleLogin.KeyID(), gormkey.FoldEmail("Lovelace@example.com")); err != nil {
		log.Fatal(err)
	}
	_, err := auth.SignIn(ctx, exampleLogin)
	fmt.Println("the old address:", err)
	renamed := exampleLogin
	renamed.ID = "lovelace@example.com"
	_, err = auth.SignIn(ctx, renamed)
	fmt.Println("the new address:", err)
	// Output:
	// the old address: gormkey: invalid credentials
	// the new address: <nil>
}

// A page asks for the password again before it deletes the account.
func ExampleRepositoryOf_UseKey() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	wrong := exampleLogin
	wrong.Password = "incorrect horse"
	_, err := auth.UseKey(ctx, wrong)
	fmt.Println(err)
	key, err := auth.UseKey(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.UserID == ada.ID)
	// Output:
	// gormkey: invalid credentials
	// true
}

// Credentials that can be nobody's are refused before an attempt is counted.
func ExampleRepositoryOf_CheckCredentials() {
	_, auth, _, done := exampleAuth()
	defer done()

	long := gormkey.Credentials{Provider: "email", ID: strings.Repeat("x", 300), Password: "a guess"}
	fmt.Println(auth.CheckCredentials(long))
	fmt.Println(auth.CheckCredentials(exampleLogin))
	// Output:
	// gormkey: id: is 300 bytes long, over 249
	// <nil>
}

// One call answers every failed sign-in, and an input that is refused says which bound there is.
func ExampleArgumentError() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	short := gormkey.Credentials{Provider: "email", ID: "bob@example.com", Password: "short"}
	err := auth.CreateUser(ctx, &Account{Email: "bob@example.com"}, short)
	var refused *gormkey.ArgumentError
	if errors.As(err, &refused) { // answer 400
		fmt.Printf("The %s is %s.\n", refused.Argument, refused.Reason)
	}
	// Output: The password is too short: at least 8 characters are needed.
}

func ExampleFoldEmail() {
	fmt.Println(gormkey.FoldEmail(" Ada@Example.COM "))
	fmt.Println(gormkey.FoldEmail("ada@example.com"))
	// Output:
	// ada@example.com
	// ada@example.com
}

func ExampleParseKeyID() {
	id, err := gormkey.ParseKeyID("email:ada@example.com")
	fmt.Println(id.Provider, id.ID, err)
	_, err = gormkey.ParseKeyID("ada@example.com")
	fmt.Println(err)
	// Output:
	// email ada@example.com <nil>
	// gormkey: provider: holds a byte other than A–Z, a–z, 0–9, ".", "_", "-" at 3
}

// The handler of an OAuth callback has asked GitHub who the user is.
func ExampleProved() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	github := gormkey.Proved("github", "42")
	_, err := auth.SignIn(ctx, github)
	fmt.Println(err)
	if _, err := auth.AddKey(ctx, ada.ID, github); err != nil {
		log.Fatal(err)
	}
	session, err := auth.SignIn(ctx, github)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.User.Email, github.Proved())
	// Output:
	// gormkey: invalid credentials
	// ada@example.com true
}

// Users of an older system keep their passwords: their bcrypt hashes are imported.
func ExampleImported() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	hash, err := bcrypt.GenerateFromPassword([]byte("a good password"), bcrypt.MinCost)
	if err != nil {
		log.Fatal(err)
	}
	imported := gormkey.Imported("email", "bob@example.com", password.Hash(hash))
	if err := auth.CreateUser(ctx, &Account{Email: "bob@example.com"}, imported); err != nil {
		log.Fatal(err)
	}
	session, err := auth.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: "bob@example.com", Password: "a good password"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.User.Email)
	// Output: bob@example.com
}

func ExampleWithPasswordPolicy() {
	common := map[string]bool{"password1": true}
	ctx, auth, _, done := exampleAuth(gormkey.WithPasswordPolicy(func(text string) error {
		if common[text] {
			return errors.New("is a common password")
		}
		return password.MinLength(8)(text)
	}))
	defer done()

	_, err := auth.ChangePassword(ctx, exampleLogin, "password1", "")
	fmt.Println(err)
	// Output: gormkey: new password: is a common password
}

func ExampleRepositoryOf_GetUser() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	user, err := auth.GetUser(ctx, ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Email)
	_, err = auth.GetUser(ctx, "nobody123456789")
	fmt.Println(err)
	// Output:
	// ada@example.com
	// gormkey: user not found
}

// A plain db.Create of a session is checked although the table has no foreign key.
func ExampleWithoutForeignKeys() {
	db, done := exampleDatabase()
	defer done()
	exampleMigrate(db, gormkey.New[Account](gormkey.WithoutForeignKeys()))

	err := db.Create(&gormkey.Session[Account]{ID: "an-id", UserID: "nobody123456789"}).Error
	fmt.Println(errors.Is(err, gorm.ErrForeignKeyViolated))
	// Output: true
}

// The tables have names of the application's own.
func ExampleWithTableNames() {
	db, done := exampleDatabase()
	defer done()
	names := gormkey.TableNames{User: "accounts", Key: "account_keys", Session: "account_sessions"}
	exampleMigrate(db, gormkey.New[Account](gormkey.WithTableNames(names)))
	fmt.Println(db.Migrator().HasTable("account_keys"), db.Migrator().HasTable("user_key"))
	// Output: true false
}
