package throttle

import (
	"fmt"
	"time"
)

// Option changes a [Throttle].
type Option func(*Throttle)

// limit is how many failures a bucket holds, and how long one takes to decay.
type limit struct {
	failures int
	decay    time.Duration
}

// WithAccountLimit sets how many failures an account takes at once, 1 to 1000, 5 by default; and
// after how long each is forgotten, 1 second to 30 days, 10 minutes by default. The product of
// the two is at most a year. Each device that the account knows has the same limit of its own.
func WithAccountLimit(failures int, decay time.Duration) Option {
	return func(t *Throttle) { t.account = limit{failures, decay} }
}

// WithAddressLimit sets the same for a client's address: 1 to 100,000 failures, 100 by default.
// Each is forgotten after 1 minute by default. An office, or a network of phones, may have one
// address.
func WithAddressLimit(failures int, decay time.Duration) Option {
	return func(t *Throttle) { t.address = limit{failures, decay} }
}

// WithDeviceTrust sets for how long a device is known after its last sign-in: 1 hour to 10 years,
// a year by default.
func WithDeviceTrust(d time.Duration) Option { return func(t *Throttle) { t.trust = d } }

// WithTable names the table, [DefaultTable] by default. The name may have a schema, as in
// "auth.throttle".
func WithTable(name string) Option { return func(t *Throttle) { t.table = name } }

// WithClock replaces time.Now, for example in tests.
func WithClock(now func() time.Time) Option { return func(t *Throttle) { t.clock = now } }

func (t *Throttle) validate() error {
	check := func(option string, l limit, most int) error {
		if l.failures < 1 || l.failures > most {
			return fmt.Errorf("throttle: %s: %d failures, outside 1 to %d", option, l.failures, most)
		}
		if l.decay < time.Second || l.decay > 30*24*time.Hour || l.decay%time.Millisecond != 0 {
			return fmt.Errorf("throttle: %s: decay is %v, outside whole milliseconds from 1s to 30 days", option, l.decay)
		}
		if l.full() > 365*24*time.Hour {
			return fmt.Errorf("throttle: %s: %d failures of %v take %v, over a year, to decay", option, l.failures, l.decay, l.full())
		}
		return nil
	}
	if err := check("WithAccountLimit", t.account, 1000); err != nil {
		return err
	}
	if err := check("WithAddressLimit", t.address, 100_000); err != nil {
		return err
	}
	switch {
	case t.trust < time.Hour || t.trust > 10*365*24*time.Hour:
		return fmt.Errorf("throttle: WithDeviceTrust: %v, outside 1 hour to 10 years", t.trust)
	case t.table == "":
		return fmt.Errorf("throttle: WithTable: the name is empty")
	case t.clock == nil:
		return fmt.Errorf("throttle: WithClock: the clock is nil")
	}
	return nil
}

// full is how long it takes until a full bucket is empty.
func (l limit) full() time.Duration { return time.Duration(l.failures) * l.decay }
