package gormkey_test

import (
	"cmp"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// BenchmarkSignInMemory: 64 sign-ins at once take no more memory than twice the hashes
// that may run at once, at 19 MiB each, and 16 MiB. Twice, for what the garbage
// collector has not got to yet.
func BenchmarkSignInMemory(b *testing.B) {
	const places, callers = 2, 64
	limiter := password.NewLimiter(places, callers, time.Minute)
	db := newBenchTable(b, 100, &gorm.Config{}, gormkey.WithPasswordLimiter(limiter))
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse"}
	_, err := db.auth.AddKey(db.ctx, benchUserID(0), login)
	must(b, err)
	var peaks []int
	for b.Loop() {
		debug.FreeOSMemory()
		rest := resetPeakMemory(b)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				if _, err := db.auth.SignIn(db.ctx, login); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		peaks = append(peaks, memory(b, "VmHWM:")-rest)
	}
	const limit = 2*places*19 + 16
	b.ReportMetric(float64(slices.Max(peaks))/(1<<20), "MiB")
	b.ReportMetric(float64(slices.Max(peaks))/(1<<20)/limit, "x-limit")
}

// resetPeakMemory makes the kernel count the peak of this process's memory anew, and
// returns what it has now, in bytes.
func resetPeakMemory(b *testing.B) int {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Skip("the peak of memory is known on Linux only:", err)
	}
	return memory(b, "VmRSS:")
}

func memory(b *testing.B, name string) int {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must(b, err)
	_, rest, _ := strings.Cut(string(status), name)
	var kib int
	_, err = fmt.Sscan(rest, &kib)
	must(b, err)
	return kib << 10
}

// BenchmarkSignInFailures tells how well a stranger's clock tells why a sign-in failed:
// the median time of a failure over that of a wrong password (0.95 to 1.05), and the
// chance that it takes longer than one (0.40 to 0.60). An operation is 200 of each.
func BenchmarkSignInFailures(b *testing.B) {
	const samples = 200
	t := newBenchTable(b, 100, &gorm.Config{PrepareStmt: true})
	login := func(id, pass string) gormkey.Credentials {
		return gormkey.Credentials{Provider: "email", ID: id, Password: pass}
	}
	_, err := t.auth.AddKey(t.ctx, benchUserID(0), login("ada@example.com", "correct horse"))
	must(b, err)
	_, err = t.auth.AddKey(t.ctx, benchUserID(1), gormkey.Proved("email", "bob@example.com"))
	must(b, err)
	for id, hash := range map[string]password.Hash{ // of a Lucia v2's users, of "correct horse battery staple"
		"lucia@example.com":  "s2:dflj86rh5efampqh:b841c2560465bcab903eb8a5e8fa80f0cb28368ec745064013c6f77148d06201f2aefa03ff6bec122a9174d90f61af8e0cd7ed43fc8d58ac114476f2fb14a36c",
		"bcrypt@example.com": "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG",
	} {
		_, err = t.auth.AddKey(t.ctx, benchUserID(2), gormkey.Imported("email", id, hash))
		must(b, err)
	}
	fail := func(c gormkey.Credentials) time.Duration {
		start := time.Now()
		if _, err := t.auth.SignIn(t.ctx, c); !errors.Is(err, gormkey.ErrInvalidCredentials) {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	for _, c := range []struct {
		name  string
		login gormkey.Credentials
	}{
		{"unknown key", login("nobody@example.com", "wrong battery")},
		{"key without password", login("bob@example.com", "wrong battery")},
		{"empty password", login("ada@example.com", "")},
		{"weaker older hash", login("bcrypt@example.com", "wrong battery")},
		{"stronger older hash", login("lucia@example.com", "wrong battery")},
	} {
		b.Run(c.name, func(b *testing.B) {
			var wrong, other []time.Duration
			for b.Loop() {
				for range samples {
					if mathrand.N(2) == 0 { // in no fixed order, which the garbage collector might fall in with
						other = append(other, fail(c.login))
						wrong = append(wrong, fail(login("ada@example.com", "wrong battery")))
					} else {
						wrong = append(wrong, fail(login("ada@example.com", "wrong battery")))
						other = append(other, fail(c.login))
					}
				}
			}
			above := 0.0
			for _, o := range other {
				for _, w := range wrong {
					above += float64(cmp.Compare(o, w)+1) / 2
				}
			}
			b.ReportMetric(float64(median(other))/float64(median(wrong)), "ratio")
			b.ReportMetric(above/float64(len(other)*len(wrong)), "AUC")
		})
	}
}

// BenchmarkSignInEventLog: a sign-in that writes its event, against one that writes none, in turns.
// The password's hash is the default's.
func BenchmarkSignInEventLog(b *testing.B) {
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}
	signIn := func(opts ...gormkey.Option) func() error {
		t := newBenchTable(b, 100, &gorm.Config{}, opts...)
		_, err := t.auth.AddKey(t.ctx, benchUserID(0), login)
		must(b, err)
		return func() error {
			_, err := t.auth.SignIn(t.ctx, login)
			return err
		}
	}
	without := signIn()
	against(b, "without", signIn(gormkey.WithEventDelivery()), without)
}
