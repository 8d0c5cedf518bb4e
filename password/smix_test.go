package password_test

import (
	"bytes"
	"testing"

	"golang.org/x/crypto/scrypt"

	"github.com/gormkey/gormkey/password"
)

// TestScryptKey compares with golang.org/x/crypto/scrypt, which has RFC 7914's vectors.
func TestScryptKey(t *testing.T) {
	for _, c := range []struct {
		password, salt string
		n, r, p, size  int
	}{
		{"", "", 16, 1, 1, 64}, {"password", "NaCl", 1024, 8, 16, 64}, {"pleaseletmein", "SodiumChloride", 16384, 8, 1, 64},
		{"x", "y", 2, 1, 1, 16}, {"x", "y", 2, 3, 5, 128}, {"x", "y", 4, 16, 2, 33}, {"correct horse", "abcdefghijklmnop", 16384, 16, 1, 64},
	} {
		want, err := scrypt.Key([]byte(c.password), []byte(c.salt), c.n, c.r, c.p, c.size)
		if err != nil {
			t.Fatal(err)
		}
		if got := password.ScryptKey(c.password, []byte(c.salt), c.n, c.r, c.p, c.size); !bytes.Equal(got, want) {
			t.Errorf("N=%d, r=%d, p=%d: got %x, want %x", c.n, c.r, c.p, got, want)
		}
	}
}

func FuzzScryptKey(f *testing.F) {
	f.Add("pw", []byte("salt"), uint8(4), uint8(3), uint8(2))
	f.Fuzz(func(t *testing.T, typed string, salt []byte, ln, r, p uint8) {
		n, blocks, lanes := 2<<(ln%6), int(r%8)+1, int(p%4)+1
		want, err := scrypt.Key([]byte(typed), salt, n, blocks, lanes, 32)
		if err != nil {
			t.Fatal(err)
		}
		if got := password.ScryptKey(typed, salt, n, blocks, lanes, 32); !bytes.Equal(got, want) {
			t.Errorf("N=%d, r=%d, p=%d: got %x, want %x", n, blocks, lanes, got, want)
		}
	})
}

// BenchmarkScryptKey: Lucia's settings, beside golang.org/x/crypto's.
func BenchmarkScryptKey(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			password.ScryptKey("correct horse", []byte("abcdefghijklmnop"), 16384, 16, 1, 64)
		}
	})
	b.Run("x-crypto", func(b *testing.B) {
		for b.Loop() {
			_, _ = scrypt.Key([]byte("correct horse"), []byte("abcdefghijklmnop"), 16384, 16, 1, 64)
		}
	})
}
