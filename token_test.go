package gormkey_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/internal/random"
	"github.com/gormkey/gormkey/password"
)

// TestR01R26Sources: secrets come from crypto/rand and are compared in constant time or
// by the database's index on their hash.
func TestR01R26Sources(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("password/*.go")
	if err != nil || len(more) == 0 {
		t.Fatal("no files in password", err)
	}
	constantTime := map[string]bool{}
	compares := regexp.MustCompile(`(?i)(token|hash|key|password|digest)\w*\s*[!=]=\s*[\w.*]*(token|hash|digest|secret)\b`)
	early := regexp.MustCompile(`\b(?:bytes\.(?:Equal|Compare|EqualFold)|slices\.(?:Equal|Compare)|reflect\.DeepEqual|strings\.(?:Compare|EqualFold)|maps\.Equal|cmp\.Compare)\(`)
	secret := regexp.MustCompile(`(?i)token|hash|password|digest|secret`)
	types, err := filepath.Glob("authtype/*.go")
	if err != nil || len(types) == 0 {
		t.Fatal("no files in authtype", err)
	}
	for _, file := range slices.Concat(files, more, types, []string{"internal/random/random.go"}) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), `"math/rand`) {
			t.Errorf("%s imports math/rand", file)
		}
		constantTime[filepath.Base(file)] = strings.Contains(string(source), "subtle.ConstantTimeCompare(")
		for i, line := range strings.Split(string(source), "\n") {
			if compares.MatchString(line) {
				t.Errorf("%s:%d compares a secret: %s", file, i+1, line)
			}
			if early.MatchString(line) && (strings.HasPrefix(file, "password/") || secret.MatchString(line)) {
				t.Errorf("%s:%d compares what may be a secret, and stops at the first difference: %s", file, i+1, line)
			}
		}
	}
	for _, file := range []string{"argon2id.go", "lucia.go", "pbkdf2.go", "scrypt.go"} {
		if !constantTime[file] {
			t.Errorf("password/%s does not compare its keys by subtle.ConstantTimeCompare", file)
		}
	}
}

func TestTokenIsRedacted(t *testing.T) {
	const secret = "abcdefghijklmnopqrstuvwxyz1234567890abcd"
	token, hash := gormkey.Token(secret), password.Hash(secret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T%v", "%5.3s", "%c"} {
		for _, v := range []any{token, &token, hash, []any{token, hash}, map[string]any{"t": token}, struct{ T gormkey.Token }{token}} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, "abcdef") || strings.Contains(text, "616263") {
				t.Errorf("%s of %T shows it", verb, v)
			}
		}
	}
	encoded, err := json.Marshal(map[string]any{"t": token, "h": hash})
	if err != nil || strings.Contains(string(encoded), "abc") {
		t.Errorf("JSON: %s, %v", encoded, err)
	}
	if _, err := token.Value(); err == nil || !strings.Contains(err.Error(), "is a secret and cannot be bound to a statement") {
		t.Errorf("a token as a bind value: got %v", err)
	}
	if string(token) != secret || string(hash) != secret {
		t.Error("a conversion does not give the secret")
	}
}

func TestUnixMilliScan(t *testing.T) {
	const ms = 1795522416847
	for _, c := range []struct {
		src  any
		want gormkey.UnixMilli
		ok   bool
	}{
		{int64(ms), ms, true}, {uint64(ms), ms, true}, {uint64(math.MaxUint64), 0, false}, {float64(ms), ms, true}, {"1795522416847", ms, true}, {"1795522416847.0", ms, true},
		{[]byte("1795522416847"), ms, true}, {[]byte("1795522416847.0"), ms, true}, {nil, 0, true}, {int64(0), 0, true},
		{int64(253402300799999), 253402300799999, true}, {int64(253402300800000), 0, false}, {int64(-1), 0, false},
		{int64(math.MaxInt64), 0, false}, {float64(1.5), 0, false}, {math.NaN(), 0, false}, {math.Inf(1), 0, false}, {1e19, 0, false},
		{"", 0, false}, {"abc", 0, false}, {"1795522416847.5", 0, false}, {" 1795522416847", 0, false}, {"1e12", 0, false},
		{[]byte{0xff}, 0, false}, {[]byte{}, 0, false}, {true, 0, false}, {"99999999999999999999", 0, false},
	} {
		m := gormkey.UnixMilli(7)
		err := m.Scan(c.src)
		if c.ok && (err != nil || m != c.want) {
			t.Errorf("Scan(%T %v): got %d, %v, want %d", c.src, c.src, m, err, c.want)
		}
		if !c.ok && (!errors.Is(err, gormkey.ErrInvalidExpiry) || m != 7) {
			t.Errorf("Scan(%T %v): got %d, %v, want ErrInvalidExpiry and the old value", c.src, c.src, m, err)
		}
	}
}

func FuzzUnixMilliScan(f *testing.F) {
	for _, s := range []string{"0", "1795522416847.0", "-1", "", "9e99", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var a, b gormkey.UnixMilli
		errA, errB := a.Scan(s), b.Scan([]byte(s))
		if (errA == nil) != (errB == nil) || a != b || a < 0 {
			t.Errorf("%q: got %d, %v and %d, %v", s, a, errA, b, errB)
		}
	})
}

// TestR26SessionIDEncodings: whatever encodes a session's id writes the hash of the token, and
// reads it back.
func TestR26SessionIDEncodings(t *testing.T) {
	token := gormkey.Token(random.String(40))
	type page struct{ ID gormkey.SessionID }
	for _, id := range []gormkey.SessionID{gormkey.SessionID(token), token.ID()} {
		text, err := json.Marshal(page{id})
		if err != nil || strings.Contains(string(text), string(token)) {
			t.Fatalf("JSON: got %d bytes with the token, or error %v", len(text), err)
		}
		var read, decoded page
		if err := json.Unmarshal(text, &read); err != nil || read.ID != token.ID() {
			t.Errorf("JSON read back: got %v, %v", read.ID, err)
		}
		var stream bytes.Buffer
		if err := gob.NewEncoder(&stream).Encode(page{id}); err != nil || bytes.Contains(stream.Bytes(), []byte(token)) {
			t.Fatalf("gob: got the token, or error %v", err)
		}
		if err := gob.NewDecoder(&stream).Decode(&decoded); err != nil || decoded.ID != token.ID() {
			t.Errorf("gob read back: got %v, %v", decoded.ID, err)
		}
	}
}
