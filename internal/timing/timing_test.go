package timing

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gormkey/gormkey/password"
)

// Hashes as they stand in tables, of "correct horse battery staple".
var (
	madeHash   = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$MDEyMzQ1Njc4OTAxMjM0NQ"
	otherHash  = "$argon2id$v=19$m=32,t=1,p=1$c29tZXNhbHQ$MDEyMzQ1Njc4OTAxMjM0NQ"
	bcryptHash = "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG"
	luciaHash  = "s2:dflj86rh5efampqh:b841c2560465bcab903eb8a5e8fa80f0cb28368ec745064013c6f77148d06201f2aefa03ff6bec122a9174d90f61af8e0cd7ed43fc8d58ac114476f2fb14a36c"
	legacyHash = strings.TrimPrefix(luciaHash, "s2:")
)

func django(iterations int) string {
	return fmt.Sprintf("pbkdf2_sha256$%d$0123456789abcdef$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", iterations)
}

func bcryptOf(cost int) string { return fmt.Sprintf("$2b$%02d$", cost) + bcryptHash[7:] }

// rounds adds up the work of checks: iterations of PBKDF2, 2^cost of bcrypt, and one of
// each other kind.
func rounds(hashes ...string) map[string]int {
	sum := map[string]int{}
	for _, hash := range hashes {
		var n int
		switch {
		case strings.HasPrefix(hash, "$2b$"):
			_, _ = fmt.Sscanf(hash, "$2b$%d$", &n)
			sum["bcrypt"] += 1 << n
		case strings.HasPrefix(hash, "pbkdf2"):
			_, _ = fmt.Sscanf(hash, "pbkdf2_sha256$%d$", &n)
			sum["pbkdf2"] += n
		default:
			sum[splitHash(hash).kind()]++
		}
	}
	return sum
}

// TestR25Equal: whatever hash a failure is about, none included, it does the same work.
func TestR25Equal(t *testing.T) {
	var w Equal
	w.Made(madeHash)
	met := []string{madeHash, otherHash, bcryptOf(10), bcryptOf(12), bcryptOf(4), luciaHash, legacyHash, django(150_000), django(600_000), django(320_000)}
	for _, hash := range met {
		w.Met(hash)
	}
	var want map[string]int
	for i, hash := range append([]string{""}, met...) {
		dummy, checks, own := w.Plan(hash, true)
		if hash != "" && checks[own] != hash || hash == "" && own != -1 {
			t.Errorf("%.30q: got %d for its place in %d checks", hash, own, len(checks))
		}
		for i, other := range checks {
			if i == own {
				continue
			}
			if err := (password.Any{}).CheckHash(other); err != nil {
				t.Errorf("%.30q: checking %.30q is refused without work: %v", hash, other, err)
			}
			if slices.Contains(met, other) {
				t.Errorf("%.30q: keeps somebody's hash", hash)
			}
		}
		if dummy {
			checks = append(checks, madeHash)
		}
		got := rounds(checks...)
		if i == 0 {
			want = got
			if len(want) != 6 || want["bcrypt"] != 1<<12 || want["pbkdf2"] != 600_000 {
				t.Fatalf("no hash: got %v", want)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%.30q: got %v, want %v", hash, got, want)
		}
	}
}

// TestR25Bounded: what a table may hold of odd hashes does not add up for ever.
func TestR25Bounded(t *testing.T) {
	var w Equal
	for n := range 100 {
		hash := fmt.Sprintf("$argon2id$v=19$m=%d,t=1,p=1$c29tZXNhbHQ$MDEyMzQ1Njc4OTAxMjM0NQ", 8+n)
		if _, checks, own := w.Plan(hash, true); len(checks) > 9 || checks[own] != hash {
			t.Fatalf("%d kinds: got %d checks for one failure", n+1, len(checks))
		}
		w.Met(hash)
	}
}

// TestR25Made: before the process has made a hash, one that is not outdated counts as
// made.
func TestR25Made(t *testing.T) {
	var w Equal
	if dummy, checks, own := w.Plan(madeHash, false); dummy || len(checks) != 1 || own != 0 {
		t.Errorf("not outdated: got %v, %d checks, %d", dummy, len(checks), own)
	}
	if dummy, _, _ := w.Plan(otherHash, true); !dummy {
		t.Error("outdated: got no dummy")
	}
	w.Met(otherHash)
	w.Made(madeHash)
	stronger := strings.Replace(madeHash, "m=64", "m=128", 1)
	if dummy, checks, own := w.Plan(stronger, false); !dummy || len(checks) != 2 || checks[own] != stronger {
		t.Errorf("stronger than made: got %v, %d checks, %d", dummy, len(checks), own)
	}
}

func TestHashKind(t *testing.T) {
	for hash, want := range map[string]string{
		bcryptHash: "$2b$04$", madeHash: "$argon2id$v=19$m=64,t=1,p=1$", luciaHash: "s2:", legacyHash: "", "pepper:2026:" + bcryptHash: "pepper:2026:$2b$04$",
		"pepper:2026:" + madeHash: "pepper:2026:$argon2id$v=19$m=64,t=1,p=1$", django(1000): "pbkdf2_sha256$1000$",
		"$pbkdf2-sha256$i=1000,l=32$c2FsdA$a2V5": "$pbkdf2-sha256$i=1000,l=32$", "$2": "", "": "",
	} {
		if got := splitHash(hash).kind(); got != want {
			t.Errorf("kind of %.30q: got %q, want %q", hash, got, want)
		}
	}
}
