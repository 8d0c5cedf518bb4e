package password

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
)

// scryptKey is scrypt (RFC 7914) that lets other goroutines run. golang.org/x/crypto's
// keeps its processor for the whole of a hash, 50 ms and more, and the runtime takes it
// away every 10 ms at the earliest: with as many hashes as processors, everything else in
// the process waited that long, 46 times its usual time at the 99th percentile. The
// tests compare the two.
//
// The settings are checked: N a power of two above 1, r and p above 0.
func scryptKey(password string, salt []byte, n, r, p, size int) []byte {
	b := derive(password, salt, p*128*r)
	words := 32 * r
	v, xy := make([]uint32, n*words), make([]uint32, 2*words)
	for i := range p {
		mix(b[i*128*r:(i+1)*128*r], n, v, xy[:words], xy[words:])
	}
	return derive(password, b, size)
}

func derive(password string, salt []byte, size int) []byte {
	key, err := pbkdf2.Key(sha256.New, password, salt, 1, size)
	if err != nil {
		panic(fmt.Sprintf("password: PBKDF2: %v", err)) // in FIPS mode, of a short salt
	}
	return key
}

// yieldBlocks is after how many blocks of 64 bytes others may run: about 0.1 ms.
const yieldBlocks = 2048

// mix is scryptROMix on one block b, with room for n blocks in v and one in x and y each.
func mix(b []byte, n int, v, x, y []uint32) {
	words := len(x)
	every := max(1, yieldBlocks*16/words) // iterations
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	for i := range n {
		copy(v[i*words:], x)
		mixBlock(x, y)
		x, y = y, x
		if i%every == every-1 {
			runtime.Gosched()
		}
	}
	for i := range n {
		j := int(x[words-16]) & (n - 1)
		for k, w := range v[j*words : (j+1)*words] {
			x[k] ^= w
		}
		mixBlock(x, y)
		x, y = y, x
		if i%every == every-1 {
			runtime.Gosched()
		}
	}
	for i, w := range x {
		binary.LittleEndian.PutUint32(b[4*i:], w)
	}
}

// mixBlock is scryptBlockMix from in to out.
func mixBlock(in, out []uint32) {
	half := len(in) / 2
	last := (*[16]uint32)(in[len(in)-16:])
	for i := 0; i < half; i += 16 {
		even, odd := (*[16]uint32)(out[i:]), (*[16]uint32)(out[half+i:])
		salsa8(last, (*[16]uint32)(in[2*i:]), even)
		salsa8(even, (*[16]uint32)(in[2*i+16:]), odd)
		last = odd
	}
}

// salsa8 sets out to the Salsa20/8 core of last XOR in.
func salsa8(last, in, out *[16]uint32) {
	w0 := last[0] ^ in[0]
	w1 := last[1] ^ in[1]
	w2 := last[2] ^ in[2]
	w3 := last[3] ^ in[3]
	w4 := last[4] ^ in[4]
	w5 := last[5] ^ in[5]
	w6 := last[6] ^ in[6]
	w7 := last[7] ^ in[7]
	w8 := last[8] ^ in[8]
	w9 := last[9] ^ in[9]
	w10 := last[10] ^ in[10]
	w11 := last[11] ^ in[11]
	w12 := last[12] ^ in[12]
	w13 := last[13] ^ in[13]
	w14 := last[14] ^ in[14]
	w15 := last[15] ^ in[15]
	x0, x1, x2, x3, x4, x5, x6, x7 := w0, w1, w2, w3, w4, w5, w6, w7
	x8, x9, x10, x11, x12, x13, x14, x15 := w8, w9, w10, w11, w12, w13, w14, w15
	for range 4 {
		x4 ^= bits.RotateLeft32(x0+x12, 7)
		x8 ^= bits.RotateLeft32(x4+x0, 9)
		x12 ^= bits.RotateLeft32(x8+x4, 13)
		x0 ^= bits.RotateLeft32(x12+x8, 18)
		x9 ^= bits.RotateLeft32(x5+x1, 7)
		x13 ^= bits.RotateLeft32(x9+x5, 9)
		x1 ^= bits.RotateLeft32(x13+x9, 13)
		x5 ^= bits.RotateLeft32(x1+x13, 18)
		x14 ^= bits.RotateLeft32(x10+x6, 7)
		x2 ^= bits.RotateLeft32(x14+x10, 9)
		x6 ^= bits.RotateLeft32(x2+x14, 13)
		x10 ^= bits.RotateLeft32(x6+x2, 18)
		x3 ^= bits.RotateLeft32(x15+x11, 7)
		x7 ^= bits.RotateLeft32(x3+x15, 9)
		x11 ^= bits.RotateLeft32(x7+x3, 13)
		x15 ^= bits.RotateLeft32(x11+x7, 18)

		x1 ^= bits.RotateLeft32(x0+x3, 7)
		x2 ^= bits.RotateLeft32(x1+x0, 9)
		x3 ^= bits.RotateLeft32(x2+x1, 13)
		x0 ^= bits.RotateLeft32(x3+x2, 18)
		x6 ^= bits.RotateLeft32(x5+x4, 7)
		x7 ^= bits.RotateLeft32(x6+x5, 9)
		x4 ^= bits.RotateLeft32(x7+x6, 13)
		x5 ^= bits.RotateLeft32(x4+x7, 18)
		x11 ^= bits.RotateLeft32(x10+x9, 7)
		x8 ^= bits.RotateLeft32(x11+x10, 9)
		x9 ^= bits.RotateLeft32(x8+x11, 13)
		x10 ^= bits.RotateLeft32(x9+x8, 18)
		x12 ^= bits.RotateLeft32(x15+x14, 7)
		x13 ^= bits.RotateLeft32(x12+x15, 9)
		x14 ^= bits.RotateLeft32(x13+x12, 13)
		x15 ^= bits.RotateLeft32(x14+x13, 18)
	}
	out[0] = x0 + w0
	out[1] = x1 + w1
	out[2] = x2 + w2
	out[3] = x3 + w3
	out[4] = x4 + w4
	out[5] = x5 + w5
	out[6] = x6 + w6
	out[7] = x7 + w7
	out[8] = x8 + w8
	out[9] = x9 + w9
	out[10] = x10 + w10
	out[11] = x11 + w11
	out[12] = x12 + w12
	out[13] = x13 + w13
	out[14] = x14 + w14
	out[15] = x15 + w15
}
