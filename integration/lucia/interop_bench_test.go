package lucia_test

import (
	"testing"
	"time"

	"github.com/gormkey/gormkey/password"
)

// BenchmarkLuciaVerify verifies one hash in turn here and in lucia@2.7.7, which takes its
// own time, without the pipe's. x-lucia is how many times as long Lucia takes; 1.5 is
// the goal.
func BenchmarkLuciaVerify(b *testing.B) {
	n := startNode(b)
	secret := secrets(b)[0]
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		valid, err := password.Lucia{}.Verify(secret.Password, secret.Hash)
		ours += time.Since(start)
		if err != nil || !valid {
			b.Fatal("the hash was not verified: ", err)
		}
		var answer struct {
			Valid        bool
			Milliseconds float64
		}
		must(b, n.call(&answer, "verify", secret.Password, secret.Hash))
		if !answer.Valid {
			b.Fatal("Lucia did not verify the hash")
		}
		theirs += time.Duration(answer.Milliseconds * float64(time.Millisecond))
	}
	b.ReportMetric(0, "ns/op") // of both together says nothing
	b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "ms/verify")
	b.ReportMetric(float64(theirs)/float64(ours), "x-lucia")
}
