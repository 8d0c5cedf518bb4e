package password_test

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gormkey/gormkey/password"
)

var fast = password.Argon2id{Memory: 64, Iterations: 1}

func TestR19DefaultMeetsOWASP(t *testing.T) {
	hash, err := password.Argon2id{}.Hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`).MatchString(hash) {
		t.Errorf("the default hash is %s", strings.Join(strings.Split(hash, "$")[:4], "$"))
	}
	for _, c := range []struct {
		typed string
		want  bool
	}{{"correct horse", true}, {"correct horsE", false}, {"correct hors", false}, {"correct horse ", false}, {"", false}} {
		if got, err := (password.Argon2id{}).Verify(c.typed, hash); err != nil || got != c.want {
			t.Errorf("Verify(%q): got %v, %v, want %v", c.typed, got, err, c.want)
		}
	}
	if again, _ := (password.Argon2id{}).Hash("correct horse"); again == hash {
		t.Error("two hashes have one salt")
	}
}

// TestRFC9106Vectors verifies hashes that the reference implementation (P-H-C
// phc-winner-argon2, test.c) lists for "password" and "somesalt".
func TestRFC9106Vectors(t *testing.T) {
	for _, c := range []struct {
		password, hash string
		want           bool
	}{
		{"password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", true},
		{"password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", true},
		{"password", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", true},
		{"differentpassword", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", false},
	} {
		if got, err := (password.Argon2id{}).Verify(c.password, c.hash); err != nil || got != c.want {
			t.Errorf("Verify(%q, %s): got %v, %v, want %v", c.password, c.hash, got, err, c.want)
		}
	}
}

func TestR21StoredSettingsAreBounded(t *testing.T) {
	const tail = "$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, hash := range []string{
		"$argon2id$v=19$m=1048577,t=1,p=1" + tail, "$argon2id$v=19$m=1048576,t=5,p=1" + tail, "$argon2id$v=19$m=8388608,t=1,p=1" + tail, "$argon2id$v=19$m=65536,t=1000,p=1" + tail, "$argon2id$v=19$m=4294967295,t=4294967295,p=255" + tail,
		"$argon2id$v=19$m=19456,t=2,p=65" + tail, "$argon2id$v=19$m=19456,t=0,p=1" + tail, "$argon2id$v=19$m=7,t=2,p=1" + tail, "$argon2id$v=19$m=19456,t=2,p=0" + tail,
		"$argon2id$v=19$m=-1,t=2,p=1" + tail, "$argon2id$v=19$m=19456,t=2" + tail, "$argon2id$v=19$t=2,m=19456,p=1" + tail, "$argon2id$v=16$m=19456,t=2,p=1" + tail,
		"$argon2i$v=19$m=19456,t=2,p=1" + tail, "$argon2id$v=19$m=19456,t=2,p=1$$" + strings.Repeat("A", 43), "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAAA",
		"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$!!!!", "$argon2id$v=19$m=19456,t=2,p=1" + tail + "$x", "", "$", "$$$$$", "plain", "$2a$10$abcdefghijklmnopqrstuv",
		"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 1<<20),
	} {
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := fast.Verify("x", hash); !errors.Is(err, password.ErrFormat) {
				t.Errorf("Verify of %.60q: got %v, want ErrFormat", hash, err)
			}
		})
		if allocated > 20 {
			t.Errorf("Verify of %.60q: %v allocations", hash, allocated)
		}
		if !fast.Outdated(hash) {
			t.Errorf("%.60q is not outdated", hash)
		}
	}
	for _, c := range []struct {
		settings password.Argon2id
		ok       bool
	}{
		{password.Argon2id{}, true}, {password.Argon2id{Memory: 1 << 20, Iterations: 4}, true}, {password.Argon2id{Memory: 1<<20 + 1, Iterations: 1}, false},
		{password.Argon2id{Memory: 1 << 20, Iterations: 5}, false}, {password.Argon2id{Memory: 7}, false}, {password.Argon2id{Memory: 8, Parallelism: 64}, false},
		{password.Argon2id{Memory: 512, Parallelism: 64}, true}, {password.Argon2id{Parallelism: 65}, false},
	} {
		if err := c.settings.Validate(); (err == nil) != c.ok {
			t.Errorf("Validate of %+v: got %v", c.settings, err)
		}
	}
	if _, err := (password.Argon2id{Memory: 1 << 22}).Hash("x"); err == nil {
		t.Error("Hash at 4 GiB: got no error")
	}
}

func TestOutdated(t *testing.T) {
	hash, err := fast.Hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now  password.Argon2id
		want bool
	}{
		{fast, false}, {password.Argon2id{Memory: 65, Iterations: 1}, true}, {password.Argon2id{Memory: 64, Iterations: 2}, true},
		{password.Argon2id{Memory: 64, Iterations: 1, Parallelism: 2}, false}, {password.Argon2id{Memory: 32, Iterations: 1}, false}, {password.Argon2id{}, true},
		{password.Argon2id{Memory: 32, Iterations: 2}, false}, {password.Argon2id{Memory: 32, Iterations: 3}, true},
	} {
		if got := c.now.Outdated(hash); got != c.want {
			t.Errorf("%+v: got %v, want %v", c.now, got, c.want)
		}
	}
}

func TestR23Lengths(t *testing.T) {
	for _, c := range []struct {
		name, password string
		want           error
	}{
		{"4096 bytes", strings.Repeat("x", 4096), nil}, {"4097 bytes", strings.Repeat("x", 4097), password.ErrTooLong}, {"empty", "", nil},
		{"1365 characters that NFKC makes 18 of", strings.Repeat("\ufdfa", 1365), nil}, {"invalid UTF-8", "a\xff", password.ErrNotUTF8}, {"NUL", "a\x00b", nil},
	} {
		hash, err := fast.Hash(c.password)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: Hash: got %v, want %v", c.name, err, c.want)
			continue
		}
		if err == nil {
			if ok, err := fast.Verify(c.password, hash); !ok || err != nil {
				t.Errorf("%s: Verify: got %v, %v", c.name, ok, err)
			}
		}
	}
}

// TestNormalize compares with JavaScript's normalize("NFKC"), in which Lucia made its
// hashes; among the texts are runs of more than 30 combining marks, and vowel signs that
// x/text composes across.
func TestNormalize(t *testing.T) {
	for _, v := range nfkcVectors(t) {
		if got := password.Normalize(v[0]); got != v[1] {
			t.Errorf("%+q: got %+q, want %+q", v[0], got, v[1])
		}
	}
}

// nfkcVectors are pairs of a text and its NFKC.
func nfkcVectors(t *testing.T) [][2]string {
	t.Helper()
	var file struct{ Vectors [][2]string }
	data, err := os.ReadFile("testdata/nfkc.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &file); err != nil || len(file.Vectors) < 400 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	return file.Vectors
}

func FuzzArgon2idVerify(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=8388608,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, hash string) {
		if h := password.ParseMemory(hash); h > 1<<14 {
			t.Skip("in bounds, but slow to run by the thousand")
		}
		if ok, err := fast.Verify("password of nobody", hash); ok || err != nil && !errors.Is(err, password.ErrFormat) {
			t.Errorf("%q: got %v, %v", hash, ok, err)
		}
	})
}

func FuzzNormalize(f *testing.F) {
	f.Add("e\u0301")
	f.Add("a" + strings.Repeat("\u0301", 40))
	f.Fuzz(func(t *testing.T, s string) {
		if password.Check(s) != nil {
			return
		}
		once := password.Normalize(s)
		if twice := password.Normalize(once); twice != once {
			t.Errorf("%+q: got %+q, and of that %+q", s, once, twice)
		}
	})
}
