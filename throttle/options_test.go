package throttle_test

import (
	"testing"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey/throttle"
)

func TestOptions(t *testing.T) {
	db, err := gorm.Open(sqlite.Open("file:options?mode=memory"), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for _, test := range []struct {
		name   string
		option throttle.Option
		ok     bool
	}{
		{"account, least", throttle.WithAccountLimit(1, time.Second), true},
		{"account, most", throttle.WithAccountLimit(1000, day/4), true},
		{"account, none", throttle.WithAccountLimit(0, time.Second), false},
		{"account, too many", throttle.WithAccountLimit(1001, time.Second), false},
		{"account, too fast", throttle.WithAccountLimit(1, time.Second-time.Millisecond), false},
		{"account, too slow", throttle.WithAccountLimit(1, 30*day+time.Millisecond), false},
		{"account, parts of a millisecond", throttle.WithAccountLimit(1, time.Second+time.Microsecond), false},
		{"account, a year", throttle.WithAccountLimit(365, day), true},
		{"account, over a year", throttle.WithAccountLimit(366, day), false},
		{"address, most", throttle.WithAddressLimit(100_000, time.Second), true},
		{"address, too many", throttle.WithAddressLimit(100_001, time.Second), false},
		{"trust, least", throttle.WithDeviceTrust(time.Hour), true},
		{"trust, too short", throttle.WithDeviceTrust(time.Hour - 1), false},
		{"trust, too long", throttle.WithDeviceTrust(10*365*day + 1), false},
		{"no table", throttle.WithTable(""), false},
		{"no clock", throttle.WithClock(nil), false},
	} {
		if _, err := throttle.New(db, test.option); (err == nil) != test.ok {
			t.Errorf("%s: got error %v, want one: %t", test.name, err, !test.ok)
		}
	}
	if limits, err := throttle.New(db.Session(&gorm.Session{DryRun: true})); err == nil {
		t.Errorf("DryRun: got %v and no error", limits)
	}
}
