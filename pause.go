package gormkey

import (
	"context"
	"math/rand/v2"
	"time"
)

// Retries of a transaction of our own.
const (
	maxTries      = 5
	retryWithin   = 10 * time.Second
	retryShortest = 5 * time.Millisecond
	retryLongest  = 50 * time.Millisecond
)

// pause sleeps between the shortest retry and longest, or until ctx ends.
func pause(ctx context.Context, longest time.Duration) error {
	timer := time.NewTimer(retryShortest + rand.N(longest-retryShortest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
