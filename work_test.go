package gormkey_test

import (
	"testing"
	"time"

	"github.com/gormkey/gormkey"
)

// TestWork: a failure takes as long as the slowest kind of hash that was seen, whatever
// its own kind, and twice that outside ASCII.
func TestWork(t *testing.T) {
	var w gormkey.Work
	for range 3 {
		w.Note("slow", 20*time.Millisecond)
		w.Note("quick", time.Millisecond)
	}
	for typed, least := range map[string]time.Duration{"plain": 20 * time.Millisecond, "\ufb01": 40 * time.Millisecond} {
		start := time.Now()
		w.Ended("quick", typed, start)
		if took := time.Since(start); took < least {
			t.Errorf("%q: took %v, under %v", typed, took, least)
		}
	}
	for hash, want := range map[string]string{
		"$2b$10$abc": "$2b$10$", "$argon2id$v=19$m=64,t=1,p=1$s$k": "$argon2id$v=19$m=64,t=1,p=1", "s2:salt:key": "::", "salt:key": ":",
		"pbkdf2_sha256$1000$salt$key": "pbkdf2_sha256$1000", "$2": "$2", "": "",
	} {
		if got := gormkey.HashKind(hash); got != want {
			t.Errorf("kind of %q: got %q, want %q", hash, got, want)
		}
	}
}
