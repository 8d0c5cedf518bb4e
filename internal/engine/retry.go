package engine

import (
	"context"
	"math/rand/v2"
	"time"
)

// Retries of a transaction.
const (
	MaxTries      = 5
	RetryWithin   = 10 * time.Second
	retryShortest = 5 * time.Millisecond
	RetryLongest  = 50 * time.Millisecond
)

// Pause sleeps between the shortest retry and longest, or until ctx ends.
func Pause(ctx context.Context, longest time.Duration) error {
	timer := time.NewTimer(retryShortest + rand.N(longest-retryShortest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
