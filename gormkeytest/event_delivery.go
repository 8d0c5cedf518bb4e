package gormkeytest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

func deliverOrder(s *suite) {
	f := s.withEventLog()
	ctx := s.Context()
	var want []string
	for _, name := range []string{"ada", "bob"} {
		a := signUp(s, f, name)
		for range 60 {
			must(s, second(f.OpenSession(ctx, a.ID)))
		}
		want = append(want, a.ID)
	}
	got := map[string][]string{}
	deliver := func(_ context.Context, e *logged) error {
		got[e.UserID] = append(got[e.UserID], e.ID)
		return nil
	}
	n, err := f.DeliverEvents(ctx, 30, deliver)
	must(s, err)
	equal(s, "at most", n, 30)
	for n > 0 {
		n, err = f.DeliverEvents(ctx, 1000, deliver)
		must(s, err)
	}
	for _, user := range want {
		equal(s, "events", len(got[user]), 62)
		equal(s, "in their order", slices.IsSorted(got[user]), true)
	}
	// Without the option for delivery nothing waits.
	silent := s.withSuspension(gormkey.WithEventLog())
	signUp(s, silent, "ada")
	wantErr(s, "without delivery", second(silent.DeliverEvents(ctx, 1, deliver)), gormkey.ErrUsage)
	equal(s, "waiting", count(s, silent.db, "auth_event", "delivered_at IS NULL"), 0)
}

func deliverFailures(s *suite) {
	f := s.withEventLog()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	down := errors.New("the mail server is down")
	seen := map[string]int{}
	deliver := func(_ context.Context, e *logged) error {
		seen[e.UserID+" "+string(e.Type)]++
		if e.UserID == ada.ID && e.Type == event.UserCreated {
			if seen[ada.ID+" "+string(event.UserCreated)] == 3 {
				panic("a bug")
			}
			return down
		}
		return nil
	}
	n, err := f.DeliverEvents(ctx, 100, deliver)
	wantErr(s, "one fails", err, down)
	equal(s, "others are delivered", n, 2)
	n, err = f.DeliverEvents(ctx, 100, deliver)
	must(s, err)
	equal(s, "at once again", n, 0)
	pauses := []time.Duration{}
	for range 19 {
		var row logged
		must(s, f.db.Where("user_id = ? AND type = ?", ada.ID, string(event.UserCreated)).First(&row).Error)
		pauses = append(pauses, row.ClaimedUntil.Time().Sub(f.clock.Now().Truncate(time.Millisecond)))
		equal(s, "while it waits", seen[ada.ID+" "+string(event.KeyAdded)], 0)
		f.clock.Advance(pauses[len(pauses)-1] + time.Millisecond)
		if _, err := f.DeliverEvents(ctx, 100, deliver); err == nil {
			s.Errorf("try %d: no error", row.Tries+1)
		}
	}
	equal(s, "pauses", fmt.Sprint(pauses[:4], pauses[18]), "[2s 4s 8s 16s] 1h0m0s")
	equal(s, "tries", seen[ada.ID+" "+string(event.UserCreated)], 20)
	n, err = f.DeliverEvents(ctx, 100, deliver)
	must(s, err)
	equal(s, "the next, after it was given up", n, 1)
	equal(s, "waiting", count(s, f.db, "auth_event", "delivered_at IS NULL"), 0)
	// A call that is stopped has not failed.
	must(s, second(f.OpenSession(ctx, bob.ID)))
	stopped, stop := context.WithCancel(ctx)
	_, err = f.DeliverEvents(stopped, 100, func(ctx context.Context, _ *logged) error {
		stop()
		return ctx.Err()
	})
	wantErr(s, "stopped", err, context.Canceled)
	equal(s, "tries of a call that was stopped", count(s, f.db, "auth_event", "delivered_at IS NULL AND claimed_until IS NULL AND tries = 0"), 1)
	equal(s, "of the other user", seen[bob.ID+" "+string(event.KeyAdded)], 1)
}

// deliverCrashes: dispatchers that end in the middle of a delivery, as a process does that is
// killed. Each costs one delivery more at most, and none is lost.
func deliverCrashes(s *suite) {
	f := s.withEventLog()
	ctx := s.Context()
	const users, each = 10, 12
	for i := range users {
		a := signUp(s, f, fmt.Sprint("user", i))
		for range each - 2 {
			must(s, second(f.OpenSession(ctx, a.ID)))
		}
	}
	var (
		mu        sync.Mutex
		delivered = map[string]int{}
		last      = map[string]string{}
		deaths    = 30
	)
	deliver := func(_ context.Context, e *logged) error {
		mu.Lock()
		delivered[e.ID]++
		if e.ID < last[e.UserID] {
			s.Errorf("event %s came after %s", e.ID, last[e.UserID])
		}
		last[e.UserID] = e.ID
		dies := deaths > 0 && len(delivered)%3 == 0
		if dies {
			deaths--
		}
		mu.Unlock()
		if dies {
			runtime.Goexit() // no defer of the library's notes anything
		}
		return nil
	}
	for round := 0; len(delivered) < users*each || count(s, f.db, "auth_event", "delivered_at IS NULL") > 0; round++ {
		if round > 200 {
			s.Fatalf("%d of %d events are delivered after %d rounds", len(delivered), users*each, round)
		}
		atOnce(repeat(4, func(int) {
			if _, err := f.DeliverEvents(ctx, 1000, deliver); err != nil && !isErr(err, gormkey.ErrBusy) {
				s.Errorf("deliver: %v", err)
			}
		})...)
		f.clock.Advance(2 * time.Minute)
	}
	twice := 0
	for _, n := range delivered {
		twice += n - 1
	}
	if twice > 30 || deaths > 0 {
		s.Errorf("%d deliveries too many for %d deaths", twice, 30-deaths)
	}
}
