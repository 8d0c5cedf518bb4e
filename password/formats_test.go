package password_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey/password"
)

type vector struct{ Name, Password, Hash string }

func vectors(t testing.TB, file string) (v struct{ Accepted, Refused []vector }) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Accepted) < 11 {
		t.Fatalf("%s: %d vectors", file, len(v.Accepted))
	}
	return v
}

// TestVectors verifies what other systems made, and no other password on it.
func TestVectors(t *testing.T) {
	for _, file := range []string{"lucia.json", "python.json"} {
		for _, v := range vectors(t, file).Accepted {
			if ok, err := (password.Any{}).Verify(v.Password, v.Hash); err != nil || !ok {
				t.Errorf("%s: got %v, %v", v.Name, ok, err)
			}
			if ok, err := (password.Any{}).Verify(v.Password+"x", v.Hash); err != nil || ok {
				t.Errorf("%s, another password: got %v, %v", v.Name, ok, err)
			}
			if err := (password.Any{}).CheckHash(v.Hash); err != nil {
				t.Errorf("CheckHash of %s: %v", v.Name, err)
			}
		}
	}
}

// TestLuciaRefusals: what Lucia refuses, its format refuses; what is a hash of another
// system is that system's.
func TestLuciaRefusals(t *testing.T) {
	for _, v := range vectors(t, "lucia.json").Refused {
		if ok, err := (password.Lucia{}).Verify(v.Password, v.Hash); ok {
			t.Errorf("%s: got %v, %v", v.Name, ok, err)
		}
	}
}

// made are the formats that make hashes, at settings that tests can afford.
var made = map[string]password.Hasher{
	"argon2id": fast, "bcrypt": password.Bcrypt{}, "scrypt": password.Scrypt{LogN: 14}, "lucia": password.Lucia{},
	"any": password.Any{Hasher: fast}, "pepper": password.Pepper{Keys: map[string][]byte{"k1": bytes.Repeat([]byte{1}, 32)}, Current: "k1", Hasher: fast},
}

func TestFormats(t *testing.T) {
	for name, h := range made {
		const typed = "ﬁsh①é and more"
		hash, err := h.Hash(typed)
		if err != nil || len(hash) > 255 {
			t.Fatalf("%s: got %d bytes, %v", name, len(hash), err)
		}
		again, _ := h.Hash(typed)
		if again == hash {
			t.Errorf("%s: two hashes have one salt", name)
		}
		for form, want := range map[string]bool{typed: true, "fish1e\u0301 and more": true, typed + " ": false, "": false, typed + "\x00": false} {
			if strings.HasSuffix(form, "\x00") && (name == "scrypt" || name == "lucia") {
				want = true // HMAC, inside scrypt, fills its key up with NULs
			}
			if ok, err := h.Verify(form, hash); err != nil || ok != want {
				t.Errorf("%s: Verify(%q): got %v, %v", name, form, ok, err)
			}
		}
		if h.Outdated(hash) {
			t.Errorf("%s: its own hash is outdated", name)
		}
		for other, o := range made {
			if other != name && other != "any" && name != "any" && !o.Outdated(hash) {
				t.Errorf("%s: a hash of %s is not outdated", other, name)
			}
		}
		if err := (password.Any{Hasher: h}).CheckHash(hash); err != nil {
			t.Errorf("%s: CheckHash: %v", name, err)
		}
		if ok, err := (password.Any{Hasher: password.Bcrypt{}}).Verify(typed, hash); name != "pepper" && (!ok || err != nil) {
			t.Errorf("%s by Any of another format: got %v, %v", name, ok, err)
		}
		if _, err := h.Hash(strings.Repeat("x", 4097)); !errors.Is(err, password.ErrTooLong) {
			t.Errorf("%s: 4097 bytes: got %v", name, err)
		}
	}
}

// TestR19Defaults: what is made is at OWASP's settings, Lucia's at Lucia's.
func TestR19Defaults(t *testing.T) {
	for prefix, h := range map[string]password.Hasher{
		"$2a$10$": password.Bcrypt{}, "$scrypt$ln=17,r=8,p=1$": password.Scrypt{}, "s2:": password.Lucia{}, "$argon2id$v=19$m=19456,t=2,p=1$": password.Any{},
	} {
		hash, err := h.Hash("correct horse")
		if err != nil || !strings.HasPrefix(hash, prefix) {
			t.Errorf("got %.30s, %v, want %s…", hash, err, prefix)
		}
	}
	for _, h := range []interface{ Validate() error }{
		password.Bcrypt{Cost: 9}, password.Bcrypt{Cost: 17}, password.Scrypt{LogN: 13}, password.Scrypt{LogN: 21}, password.Scrypt{LogN: 20, R: 9}, password.Scrypt{P: 1 << 20},
		password.Any{Hasher: password.Bcrypt{Cost: 3}}, password.Pepper{}, password.Pepper{Keys: map[string][]byte{"k": make([]byte, 31)}, Current: "k"},
		password.Pepper{Keys: map[string][]byte{"k": make([]byte, 32), "a:b": make([]byte, 32)}, Current: "k"},
	} {
		if h.Validate() == nil {
			t.Errorf("%+v is accepted", h)
		}
	}
}

// TestDummy: it takes what Verify takes, though Hash may not.
func TestDummy(t *testing.T) {
	for name, h := range made {
		for typed, want := range map[string]error{"": nil, "ﬁ": nil, strings.Repeat("x", 100): nil, "a\x00b": nil, strings.Repeat("x", 4097): password.ErrTooLong} {
			if err := (password.Any{Hasher: h}).Dummy(typed); !errors.Is(err, want) {
				t.Errorf("%s: Dummy of %d bytes: got %v, want %v", name, len(typed), err, want)
			}
		}
	}
}

// TestBcryptWhole: bcrypt itself reads 72 bytes, and a NUL as the end of a round.
func TestBcryptWhole(t *testing.T) {
	b := password.Bcrypt{}
	long := strings.Repeat("x", 72)
	hash, err := b.Hash(long)
	if err != nil {
		t.Fatal(err)
	}
	short, err := b.Hash("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typed, hash string
		want        bool
	}{{long, hash, true}, {long + "x", hash, false}, {long + strings.Repeat("y", 900), hash, false}, {"a", short, true}, {"a\x00a", short, false}, {"a\x00", short, false}} {
		if ok, err := b.Verify(c.typed, c.hash); err != nil || ok != c.want {
			t.Errorf("Verify(%.20q… of %d bytes): got %v, %v", c.typed, len(c.typed), ok, err)
		}
	}
	if _, err := b.Hash(long + "x"); !errors.Is(err, password.ErrTooLong) {
		t.Errorf("73 bytes: got %v", err)
	}
	if _, err := b.Hash("a\x00b"); !errors.Is(err, password.ErrNUL) {
		t.Errorf("NUL: got %v", err)
	}
}

// TestR21StoredHashes: what is malformed, or asks for too much, is refused at once.
func TestR21StoredHashes(t *testing.T) {
	const salt, key = "c29tZXNhbHRzb21lc2FsdA", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	hashes := []string{
		"$argon2id$v=19$m=8388608,t=1,p=1$" + salt + "$" + key, "$argon2id$v=19$m=65536,t=1000,p=1$" + salt + "$" + key,
		"$scrypt$ln=31,r=8,p=1$" + salt + "$" + key, "$scrypt$ln=17,r=1024,p=1$" + salt + "$" + key, "$scrypt$ln=17,r=8,p=100000$" + salt + "$" + key,
		"$scrypt$ln=63,r=8,p=1$" + salt + "$" + key, "$scrypt$ln=17,r=4294967295,p=4294967295$" + salt + "$" + key, "$scrypt$ln=17,r=8$" + salt + "$" + key,
		"$scrypt$ln=1,r=1,p=16777216$" + salt + "$" + key, "$pbkdf2-sha256$i=5000000$" + salt + "$" + strings.Repeat("A", 86),
		"$scrypt$ln=17,r=8,p=0$" + salt + "$" + key, "$scrypt$ln=+7,r=8,p=1$" + salt + "$" + key, "scrypt$16383$salt$8$1$" + key + "=", "scrypt$16384$$8$1$" + key + "=",
		"$pbkdf2-sha256$i=1000000000$" + salt + "$" + key, "$pbkdf2-sha256$i=0$" + salt + "$" + key, "$pbkdf2-sha1$i=1000$" + salt + "$" + key,
		"$pbkdf2-sha256$i=1000,l=31$" + salt + "$" + key, "pbkdf2_sha256$1000000000$salt$" + key + "=", "pbkdf2_sha256$1000$salt$" + key, "pbkdf2_md5$1000$salt$" + key + "=",
		"$2a$20$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "$2a$03$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"$2x$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "$2a$10$N9qo8uLOickgx2ZMRZoMye", "$2a$1$", "$2a", "$2", "s2:", "s2::", "s3:a:b", ":", "",
		"s2:salt:" + strings.Repeat("A", 128), "salt:" + strings.Repeat("g", 128), "a:b:c:d", "plaintext", "$", "pepper:k1:$argon2id$", "pepper:k2:x", "pepper::", "{SSHA}abc",
		"s2:" + strings.Repeat("s", 1<<20) + ":" + strings.Repeat("a", 128), strings.Repeat("$", 1<<20),
	}
	h := password.Any{Hasher: made["pepper"]}
	for _, hash := range hashes {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		ok, err := h.Verify("x", hash)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if ok || !errors.Is(err, password.ErrFormat) && !errors.Is(err, password.ErrPepper) {
			t.Errorf("Verify of %.60q: got %v, %v", hash, ok, err)
		}
		if h.CheckHash(hash) == nil {
			t.Errorf("CheckHash of %.60q: got no error", hash)
		}
		if !h.Outdated(hash) {
			t.Errorf("%.60q is not outdated", hash)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
			t.Errorf("Verify of %.60q allocated %d bytes in %v", hash, allocated, took)
		}
	}
}

func TestPepperRotation(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	first := password.Pepper{Keys: map[string][]byte{"2025": key(1)}, Current: "2025", Hasher: fast}
	hash, err := first.Hash("correct horse")
	if err != nil || !strings.HasPrefix(hash, "pepper:2025:$argon2id$") {
		t.Fatalf("got %.30s, %v", hash, err)
	}
	both := password.Pepper{Keys: map[string][]byte{"2025": key(1), "2026": key(2)}, Current: "2026", Hasher: fast}
	if ok, err := both.Verify("correct horse", hash); !ok || err != nil || !both.Outdated(hash) {
		t.Errorf("after the rotation: got %v, %v, outdated %v", ok, err, both.Outdated(hash))
	}
	stolen := password.Pepper{Keys: map[string][]byte{"2025": key(3)}, Current: "2025", Hasher: fast}
	if ok, err := stolen.Verify("correct horse", hash); ok || err != nil {
		t.Errorf("with another key: got %v, %v", ok, err)
	}
	gone := password.Pepper{Keys: map[string][]byte{"2026": key(2)}, Current: "2026", Hasher: fast}
	if ok, err := gone.Verify("correct horse", hash); ok || !errors.Is(err, password.ErrPepper) {
		t.Errorf("with the key gone: got %v, %v", ok, err)
	}
	if text := fmt.Sprintf("%v %+v %s %+v", both, both, both, password.Any{Hasher: both}); !strings.Contains(text, "2026") || strings.Contains(text, "2 2 2") || strings.Contains(text, "\x02") {
		t.Errorf("printed: %s", text)
	}
	if _, err := (password.Pepper{Keys: map[string][]byte{"a:b": key(1)}, Current: "a:b"}).Hash("x"); err == nil {
		t.Error("an id that cannot be read back: got no error")
	}
	if _, err := (password.Pepper{}).Hash("x"); !errors.Is(err, password.ErrPepper) {
		t.Errorf("no key: got %v", err)
	}
	plain, err := fast.Hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := (password.Any{Hasher: both}).Verify("correct horse", plain); !ok || err != nil || !both.Outdated(plain) {
		t.Errorf("a hash without pepper: got %v, %v", ok, err)
	}
}

// TestLuciaIllFormed: what Node makes of bytes that are no UTF-8, by new TextDecoder().
func TestLuciaIllFormed(t *testing.T) {
	for bytes, text := range map[string]string{
		"a\xffb": "a\ufffdb", "\xe2\x82": "\ufffd", "\xe2\x82a": "\ufffda", "\xed\xa0\x80": "\ufffd\ufffd\ufffd", "\xf0\x9f\x98": "\ufffd", "\xc0\xaf": "\ufffd\ufffd",
		"\xf0\x80\x80": "\ufffd\ufffd\ufffd", "\xf4\x90\x80\x80": "\ufffd\ufffd\ufffd\ufffd", "\xe2\x28\xa1": "\ufffd(\ufffd", "ok": "ok",
	} {
		hash, err := password.Lucia{}.Hash(text)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := (password.Lucia{}).Verify(bytes, hash); !ok || err != nil {
			t.Errorf("%q: got %v, %v, want what %q gets", bytes, ok, err, text)
		}
	}
}

// FuzzCheckHash: no stored hash makes a parser panic.
func FuzzCheckHash(f *testing.F) {
	for _, file := range []string{"lucia.json", "python.json"} {
		for _, v := range vectors(f, file).Accepted {
			f.Add(v.Hash)
		}
	}
	f.Add("pepper:k1:$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	h := password.Any{Hasher: made["pepper"]}
	f.Fuzz(func(t *testing.T, hash string) {
		if err := h.CheckHash(hash); err != nil && !errors.Is(err, password.ErrFormat) && !errors.Is(err, password.ErrPepper) {
			t.Errorf("CheckHash(%q): %v", hash, err)
		}
		for _, o := range made {
			_ = o.Outdated(hash)
		}
	})
}

// FuzzCheap verifies stored hashes that are cheap, so that what a parser lets pass is
// what the functions behind it take.
func FuzzCheap(f *testing.F) {
	f.Add("pw", uint8(1), uint32(1), uint32(1), []byte("salt"), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, typed string, ln uint8, r, p uint32, salt, key []byte) {
		for _, hash := range cheapHashes(ln, r, p, salt, key) {
			if _, err := (password.Any{}).Verify(typed, hash); err != nil && !errors.Is(err, password.ErrFormat) && !errors.Is(err, password.ErrTooLong) && !errors.Is(err, password.ErrNotUTF8) {
				t.Errorf("%q: %v", hash, err)
			}
		}
	})
}

func cheapHashes(ln uint8, r, p uint32, salt, key []byte) []string {
	b64 := base64.RawStdEncoding.EncodeToString
	return []string{
		fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", ln%8, r%8, p%8, b64(salt), b64(key)),
		fmt.Sprintf("scrypt$%d$%s$%d$%d$%s", 1<<(ln%8), salt, r%8, p%8, base64.StdEncoding.EncodeToString(key)),
		fmt.Sprintf("$pbkdf2-sha512$i=%d$%s$%s", r%64, b64(salt), b64(key)),
		fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", r%256, p%4, ln%8, b64(salt), b64(key)),
	}
}
