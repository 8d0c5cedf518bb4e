package password

// Normalize is for tests of NFKC.
var Normalize = normalize

// ParseMemory returns the work that a hash asks for, in KiB times passes.
func ParseMemory(hash string) uint64 {
	h, err := parseArgon2id(hash)
	if err != nil {
		return 0
	}
	return h.work()
}

// ScryptKey is for tests of scrypt.
var ScryptKey = scryptKey
