package gormkeytest

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/password"
)

var signInCases = []testCase{
	{"sign-in/R25 one error and one hash on every path", signInEqualWork},
	{"sign-in/R25 the same work for every kind of hash", signInEqualKinds},
	{"sign-in/without a password", signInNoPassword},
	{"sign-in/R05 new token each time", signInFixation},
	{"sign-in/R05 several sessions replaced", signInReplacing},
	{"sign-in/R20 rehash by compare and swap", signInRehash},
	{"sign-in/use key", signInUseKey},
	{"sign-in/R25 a model that refuses to be found", signInAfterFind},
	{"sign-in/columns that cannot be named", signInOddColumns},
	{"sign-in/R24 password policy", signInPolicy},
}

// countingHasher counts the hashes that it makes and verifies, and can be made to do
// something between: Django's test of equal work. Hashing may be concurrent; the fields
// are set while nobody hashes.
type countingHasher struct {
	password.Hasher
	Calls atomic.Int64
	// AfterVerify, if set, runs after each verification.
	AfterVerify func()
	// OutdatedAlways makes every hash outdated.
	OutdatedAlways bool
}

// Hash counts.
// afterVerify lets act come after each of the next verifications, as many times as it says.
func (h *countingHasher) afterVerify(times int, act func()) {
	h.AfterVerify = func() {
		if times--; times >= 0 {
			act()
		}
	}
}

func (h *countingHasher) Hash(p string) (string, error) { h.Calls.Add(1); return h.Hasher.Hash(p) }

// Verify counts.
func (h *countingHasher) Verify(p, hash string) (bool, error) {
	h.Calls.Add(1)
	ok, err := h.Hasher.Verify(p, hash)
	if h.AfterVerify != nil {
		h.AfterVerify()
	}
	return ok, err
}

// Outdated says so if told to.
func (h *countingHasher) Outdated(hash string) bool {
	return h.OutdatedAlways || h.Hasher.Outdated(hash)
}

func signInEqualWork(s *suite) {
	hasher := &countingHasher{Hasher: FastHasher()}
	var reasons []error
	f := s.accounts(gormkey.WithPasswordHasher(hasher), gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		if e.Type == event.SignInFailed {
			reasons = append(reasons, e.Err)
		}
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	_, err := f.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))
	must(s, err)
	with := func(provider, id, password string) gormkey.Credentials {
		return gormkey.Credentials{Provider: provider, ID: id, Password: password}
	}
	for _, c := range []struct {
		name        string
		credentials gormkey.Credentials
		reason      error
	}{
		{"right password", email(ada.Email), nil},
		{"unknown key", with("email", "nobody@example.com", goodPassword), gormkey.ErrKeyNotFound},
		{"wrong password", with("email", ada.Email, "wrong"), gormkey.ErrInvalidPassword},
		{"empty password", with("email", ada.Email, ""), gormkey.ErrInvalidPassword},
		{"key without a password", with("github", "1", goodPassword), gormkey.ErrInvalidPassword},
		{"empty password on a key without one", with("github", "1", ""), gormkey.ErrInvalidPassword},
		{"empty password on an unknown key", with("email", "nobody@example.com", ""), gormkey.ErrKeyNotFound},
		{"other letters", with("email", "Ada@example.com", goodPassword), gormkey.ErrKeyNotFound},
	} {
		for _, verb := range []struct {
			name string
			call func() error
		}{
			{"SignIn", func() error { _, err := f.SignIn(ctx, c.credentials); return err }},
			{"UseKey", func() error { _, err := f.UseKey(ctx, c.credentials); return err }},
		} {
			hasher.Calls.Store(0)
			reasons = nil
			err := verb.call()
			equal(s, verb.name+", "+c.name+": hashes", hasher.Calls.Load(), 1)
			if c.reason == nil {
				must(s, err)
				continue
			}
			if err != gormkey.ErrInvalidCredentials {
				s.Errorf("%s, %s: got %v, want exactly ErrInvalidCredentials", verb.name, c.name, err)
			}
			if len(reasons) != 1 || !errors.Is(reasons[0], c.reason) {
				s.Errorf("%s, %s: hook got %v, want %v", verb.name, c.name, reasons, c.reason)
			}
		}
	}
	// A stored hash that nobody can read costs the same, and signs nobody in.
	must(s, f.db.Table("user_key").Where("id = ?", "email:"+ada.Email).Update("hashed_password", "$argon2id$broken").Error)
	hasher.Calls.Store(0)
	_, err = f.SignIn(ctx, email(ada.Email))
	wantErr(s, "unreadable hash", err, gormkey.ErrInvalidCredentials)
	equal(s, "unreadable hash: calls", hasher.Calls.Load(), 2) // Verify refuses without work
}

// listingHasher lists the kinds of the hashes that it is asked to check, whichever format
// they have.
type listingHasher struct {
	password.Argon2id
	checked []string
}

func (h *listingHasher) note(hash string) {
	h.checked = append(h.checked, hash[:min(len(hash), strings.LastIndexAny(hash[:min(len(hash), 32)], "$:")+1)])
}

// Verify notes.
func (h *listingHasher) Verify(p, hash string) (bool, error) {
	h.note(hash)
	return h.Argon2id.Verify(p, hash)
}

// Dummy notes what it stands for.
func (h *listingHasher) Dummy(p string) error {
	h.note("$argon2id$v=19$m=64,t=1,p=1$")
	return h.Argon2id.Dummy(p)
}

// signInEqualKinds: whatever hash the key has, a failure checks the same kinds in the same
// order. Nothing is timed, and so nothing that takes long now is repeated later.
func signInEqualKinds(s *suite) {
	hasher := &listingHasher{Argon2id: password.Argon2id{Memory: 64, Iterations: 1}}
	f := s.accounts(gormkey.WithPasswordHasher(hasher))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	add := func(id string, hash password.Hash) {
		_, err := f.AddKey(ctx, ada.ID, gormkey.Imported("email", id, hash))
		must(s, err)
	}
	add("bcrypt", "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG")
	add("django", "pbkdf2_sha256$10$0123456789abcdef$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	fail := func(id string) []string {
		hasher.checked = nil
		_, err := f.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: id, Password: "wrong battery"})
		wantErr(s, id, err, gormkey.ErrInvalidCredentials)
		return hasher.checked
	}
	equal(s, "before an older hash was met", len(fail("nobody")), 1)
	fail("bcrypt")
	fail("django")
	want := []string{"$argon2id$v=19$m=64,t=1,p=1$", "$2b$04$", "pbkdf2_sha256$10$0123456789abcdef$"}
	for _, id := range []string{"nobody", ada.Email, "bcrypt", "django"} {
		got := fail(id)
		for i, kind := range want {
			want, _, _ := strings.Cut(kind, "0123456789")
			if len(got) != 3 || !strings.HasPrefix(got[i], want) {
				s.Errorf("%s: got checks of %q, want %q", id, got, want)
			}
		}
	}
}

func signInNoPassword(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	github := gormkey.Proved("github", "1")
	_, err := f.SignIn(ctx, github)
	wantErr(s, "unknown key", err, gormkey.ErrInvalidCredentials)
	_, err = f.AddKey(ctx, ada.ID, github)
	must(s, err)
	session, err := f.SignIn(ctx, github)
	must(s, err)
	equal(s, "owner", session.UserID, ada.ID)
	_, err = f.SignIn(ctx, gormkey.Proved("email", ada.Email))
	wantErr(s, "key with a password", err, gormkey.ErrInvalidCredentials)
	github.Password = "x"
	_, err = f.SignIn(ctx, github)
	wantErr(s, "both", err, gormkey.ErrUsage)
}

func signInFixation(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	first, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	second, err := f.SignIn(ctx, email(ada.Email), f.Replacing(first.Token))
	must(s, err)
	if second.Token == first.Token || second.ID == first.ID {
		s.Error("the token survived a sign-in")
	}
	_, err = f.ValidateSession(ctx, first.Token)
	wantErr(s, "replaced session", err, gormkey.ErrInvalidSession)
	planted := gormkey.Token("plantedplantedplantedplantedplantedplant")
	third, err := f.SignIn(ctx, email(ada.Email), f.Replacing(planted))
	must(s, err)
	_, err = f.ValidateSession(ctx, planted)
	wantErr(s, "planted token", err, gormkey.ErrInvalidSession)
	_, err = f.SignIn(ctx, email(ada.Email), f.Replacing("' OR 1=1 --"))
	must(s, err)
	again, err := f.SignIn(ctx, email(ada.Email), as(*third))
	must(s, err)
	if again.Token == third.Token {
		s.Error("the token of a struct survived a sign-in")
	}
	wrong := email(ada.Email)
	wrong.Password = "wrong"
	_, err = f.SignIn(ctx, wrong, f.Replacing(third.Token))
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	_, err = f.ValidateSession(ctx, third.Token) // a failed sign-in ends nothing
	must(s, err)
}

// signInReplacing: a browser may send several cookies of one name.
func signInReplacing(s *suite) {
	ended := 0
	f := s.accounts(gormkey.WithOneTimeTokens(), gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		if e.Type == event.SessionEnded {
			ended++
		}
		return nil
	}))
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	open := func(owner *account) gormkey.Token {
		session, err := f.OpenSession(ctx, owner.ID)
		must(s, err)
		return session.Token
	}
	for what, signIn := range map[string]func(set ...func(*device)) (*device, error){
		"SignIn": func(set ...func(*device)) (*device, error) {
			return f.SignIn(ctx, email(ada.Email), set...)
		},
		"OpenSession": func(set ...func(*device)) (*device, error) {
			return f.OpenSession(ctx, ada.ID, set...)
		},
		"SignInWithToken": func(set ...func(*device)) (*device, error) {
			link, err := f.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", time.Hour)
			must(s, err)
			return f.SignInWithToken(ctx, link, set...)
		},
	} {
		first, second, other := open(ada), open(bob), open(ada)
		unknown := gormkey.Token("plantedplantedplantedplantedplantedplant")
		ended = 0
		session, err := signIn(f.Replacing(first), f.Replacing(unknown), f.Replacing(""), f.Replacing(second), f.Replacing(first))
		must(s, err)
		equal(s, what+": sessions that ended", ended, 2)
		for name, token := range map[string]gormkey.Token{"the first": first, "the second": second, "the unknown": unknown} {
			_, err = f.ValidateSession(ctx, token)
			wantErr(s, what+": "+name, err, gormkey.ErrInvalidSession)
		}
		for _, token := range []gormkey.Token{other, session.Token} {
			_, err = f.ValidateSession(ctx, token)
			must(s, err)
		}
		wrong := email(ada.Email)
		wrong.Password = "wrong"
		_, err = f.SignIn(ctx, wrong, f.Replacing(other), f.Replacing(session.Token))
		wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
		for _, token := range []gormkey.Token{other, session.Token} {
			_, err = f.ValidateSession(ctx, token)
			must(s, err)
		}
	}
}

func signInRehash(s *suite) {
	hasher := &countingHasher{Hasher: FastHasher()}
	f := s.accounts(gormkey.WithPasswordHasher(hasher))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	_, err := f.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))
	must(s, err)
	stored := func() password.Hash {
		key, err := f.GetKey(ctx, keyID("email", ada.Email))
		must(s, err)
		return *key.HashedPassword
	}
	before := stored()
	_, err = f.SignIn(ctx, email(ada.Email))
	must(s, err)
	equal(s, "hash that is up to date", stored() == before, true)

	hasher.OutdatedAlways = true
	_, err = f.SignIn(ctx, email(ada.Email))
	must(s, err)
	after := stored()
	equal(s, "outdated hash kept", after == before, false)
	shared, err := f.GetKey(ctx, keyID("username", "ada"))
	must(s, err)
	equal(s, "key that shares the password follows", *shared.HashedPassword == after, true)

	// The password changes while the sign-in holds the old hash in its hand.
	other := email(ada.Email)
	other.Password = "changed in between"
	hasher.AfterVerify = func() {
		hasher.AfterVerify = nil
		_, err := f.OverwritePassword(ctx, other, "")
		must(s, err)
	}
	_, err = f.SignIn(ctx, email(ada.Email))
	wantErr(s, "sign-in against a change", err, gormkey.ErrInvalidCredentials)
	_, err = f.SignIn(ctx, other)
	must(s, err)
	list, err := f.UserSessions(ctx, ada.ID)
	must(s, err)
	equal(s, "sessions", len(list), 1)
	hasher.AfterVerify = func() {
		hasher.AfterVerify = nil
		_, err := f.OverwritePassword(ctx, email(ada.Email), "")
		must(s, err)
	}
	_, err = f.UseKey(ctx, other) // verified, and then rehashed too late
	must(s, err)
	_, err = f.SignIn(ctx, email(ada.Email))
	must(s, err)
}

func signInUseKey(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	key, err := f.UseKey(s.Context(), email(ada.Email))
	must(s, err)
	if key.UserID != ada.ID || key.User == nil || key.User.Email != ada.Email {
		s.Errorf("got %+v", key)
	}
	equal(s, "sessions", count(s, f.db, "user_session"), 0)
}

func signInPolicy(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	for _, c := range []struct {
		password string
		refused  error
	}{
		{"1234567", password.ErrTooShort}, {"12345678", password.ErrCommon}, {"Password1", password.ErrCommon}, {"13579864", nil},
		{"äöüßéèê", password.ErrTooShort}, {"äöüßéèêë", nil}, {"", password.ErrTooShort},
		{"   spaces kept   ", nil}, {"with\x00nul byte", nil},
	} {
		credentials := email(ada.Email)
		credentials.Password = c.password
		_, err := f.OverwritePassword(s.Context(), credentials, "")
		if c.refused != nil {
			wantErr(s, "policy", err, gormkey.ErrInvalidArgument)
			wantErr(s, "policy", err, c.refused)
			continue
		}
		must(s, err)
		_, err = f.SignIn(s.Context(), credentials)
		must(s, err)
	}
	breached := s.accounts(gormkey.WithPasswordPolicy(func(p string) error {
		if p == "password" {
			return errStop
		}
		return nil
	}))
	err := breached.CreateUser(s.Context(), &account{Email: "x"}, gormkey.Credentials{Provider: "email", ID: "x", Password: "password"})
	wantErr(s, "own policy", err, errStop)
	must(s, breached.CreateUser(s.Context(), &account{Email: "x"}, gormkey.Credentials{Provider: "email", ID: "x", Password: "p"}))
}

// banned refuses to be found.
type banned struct {
	gormkey.User
	Reason string `gorm:"size:64"`
}

var errBanned = errors.New("banned")

func (b *banned) AfterFind(*gorm.DB) error {
	if b.Reason != "" {
		return errBanned
	}
	return nil
}

// signInAfterFind: only who has the password learns what the model says.
func signInAfterFind(s *suite) {
	hasher := &countingHasher{Hasher: FastHasher()}
	f := open[banned](s, s.newDB(s.T), gormkey.WithPasswordHasher(hasher))
	ctx := s.Context()
	must(s, f.CreateUser(ctx, &banned{Reason: "spam"}, email("u")))
	wrong := email("u")
	wrong.Password = "wrong"
	hasher.Calls.Store(0)
	_, err := f.SignIn(ctx, wrong)
	if err != gormkey.ErrInvalidCredentials {
		s.Errorf("wrong password: got %v", err)
	}
	equal(s, "hashes", hasher.Calls.Load(), 1)
	_, err = f.SignIn(ctx, email("u"))
	wantErr(s, "right password", err, errBanned)
	equal(s, "sessions", count(s, f.db, "user_session"), 0)
}

// odd has a column that is written and never read, and one that only queries compute.
type odd struct {
	gormkey.User
	Secret   string `gorm:"->:false;<-;size:64"`
	Computed int    `gorm:"->;-:migration"`
	Ignored  string `gorm:"-"`
}

func signInOddColumns(s *suite) {
	f := open[odd](s, s.newDB(s.T))
	ctx := s.Context()
	u := &odd{Secret: "s3cret", Ignored: "x"}
	must(s, f.CreateUser(ctx, u, email("u")))
	session, err := f.SignIn(ctx, email("u"))
	must(s, err)
	_, err = f.UpdateUserAttributes(ctx, u.ID, map[string]any{"Computed": 1})
	wantErr(s, "a column that is only read", err, gormkey.ErrInvalidArgument)
	got, err := f.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "a column that is never read", got.User.Secret, "")
	read, err := f.GetUser(ctx, u.ID)
	must(s, err)
	equal(s, "a column that is never read", read.Secret, "")
}
