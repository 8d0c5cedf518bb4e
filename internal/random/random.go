// Package random makes identifiers and secrets.
package random

import "crypto/rand"

// alphabet is Lucia's: 36 characters, the digits in the order 1…9, 0.
const alphabet = "abcdefghijklmnopqrstuvwxyz1234567890"

// String returns n characters of the alphabet, each equally likely: bytes past
// the last multiple of 36 are thrown away. crypto/rand never returns an error.
func String(n int) string {
	const limit = 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var buf [64]byte
	for {
		_, _ = rand.Read(buf[:])
		for _, b := range buf {
			if int(b) >= limit {
				continue
			}
			if out = append(out, alphabet[int(b)%len(alphabet)]); len(out) == n {
				return string(out)
			}
		}
	}
}
