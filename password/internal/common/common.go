// Package common holds the list of common passwords, as hashes. README.md says where the list
// comes from.
package common

import _ "embed"

// table has a record for each entry, sorted: six bytes of the hash, then the length of the entry.
// Passwords of real people are on such a list, and words that nobody wants in a program or a
// repository. Hashes show neither, and take less room than the text.
//
//go:embed common.bin
var table string

// RecordSize is the size of a record, in bytes.
const RecordSize = 7

// MaxLength is the length of the longest entry that the list takes, in bytes.
const MaxLength = 64

// Contains reports whether password, in small letters, is on the list. Another text has the hash
// of an entry with a chance of one in 10^10.
func Contains(password string) bool {
	if len(password) > MaxLength {
		return false
	}
	record := Record(password)
	want := string(record[:])
	low, high := 0, Count()
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch got := table[middle*RecordSize : (middle+1)*RecordSize]; {
		case got < want:
			low = middle + 1
		case got > want:
			high = middle
		default:
			return true
		}
	}
	return false
}

// Count returns how many entries the list has.
func Count() int { return len(table) / RecordSize }

// CountAtLeast returns how many entries have n characters or more.
func CountAtLeast(n int) int {
	count := 0
	for i := RecordSize - 1; i < len(table); i += RecordSize {
		if int(table[i]) >= n {
			count++
		}
	}
	return count
}

// Size returns what the list takes in a program, in bytes.
func Size() int { return len(table) }

// Record returns the record of an entry of at most [MaxLength] bytes.
func Record(password string) (record [RecordSize]byte) {
	h := hash(password)
	for i := range RecordSize - 1 {
		record[i] = byte(h >> (40 - 8*i))
	}
	record[RecordSize-1] = byte(len(password))
	return record
}

// hash is FNV-1a of 64 bits with the last step of MurmurHash3, which spreads short texts over the
// 48 bits that are kept.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
