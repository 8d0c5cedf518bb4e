package engine

import (
	"context"
	"math/rand/v2"
	"time"
)

// Retries of a transaction. Ten seconds bound the sum of all tries, so that a request does not wait
// for a long lock timeout of the server five times.
const (
	MaxTries      = 5
	RetryWithin   = 10 * time.Second
	retryShortest = 5 * time.Millisecond
	RetryLongest  = 50 * time.Millisecond
)

// Pause sleeps for a random time, from the shortest pause to longest, or until ctx ends. If two
// transactions that blocked each other slept equally long, they would meet again.
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
