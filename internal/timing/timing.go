// Package timing makes the failures of a password take equal times.
package timing

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Equal makes every failed check of a password do the same work, whatever the reason:
// one check of each kind of hash that the process has met. Otherwise the time of a check
// against an older hash would tell that the key exists. Nothing is measured, so a check
// that was held up by something else teaches nothing wrong.
type Equal struct {
	mu       sync.Mutex
	made     string // the kind of new hashes, "" until one was made
	families []hashFamily
}

// hashFamily is the hashes of one format that differ in a number of rounds only. A check
// of a cheaper one makes up for the rounds that it lacks.
type hashFamily struct {
	name   string
	most   int // rounds, of the costliest that was met
	sample hashParts
}

// mostFamilies bounds the checks of one failure. The failures of users with hashes of
// further families can be told.
const mostFamilies = 8

// Made notes the kind of a new hash.
func (e *Equal) Made(hash string) {
	kind := splitHash(hash).kind()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made = kind
}

// Plan returns the work of a failed check of a hash, "" for none: whether the dummy of the
// plugin's hasher is part of it, and the hashes to verify. Own is the place of the given hash
// among them, -1 if there is none. The order is the same for everybody, since it also takes time.
func (e *Equal) Plan(hash string, outdated bool) (dummy bool, checks []string, own int) {
	parts := splitHash(hash)
	e.mu.Lock()
	defer e.mu.Unlock()
	own = -1
	isMade := hash != "" && (parts.kind() == e.made || e.made == "" && !outdated)
	if isMade {
		own, checks = 0, append(checks, hash)
	}
	for _, f := range e.families {
		rounds := f.most
		if hash != "" && !isMade && f.name == parts.family {
			rounds -= parts.rounds
			own, checks = len(checks), append(checks, hash)
		}
		checks = append(checks, f.sample.checks(rounds)...)
	}
	if hash != "" && own < 0 {
		own, checks = len(checks), append(checks, hash)
	}
	return !isMade, checks, own
}

// Met notes the family of a hash that was verified, and keeps a hash of it that is
// nobody's.
func (e *Equal) Met(hash string) {
	h := splitHash(hash)
	e.mu.Lock()
	defer e.mu.Unlock()
	if h.kind() == e.made {
		return
	}
	for i := range e.families {
		if f := &e.families[i]; f.name == h.family {
			f.most = max(f.most, h.rounds)
			return
		}
	}
	if len(e.families) < mostFamilies {
		h.secret = nobodys(h.secret)
		e.families = append(e.families, hashFamily{h.family, h.rounds, h})
	}
}

// hashParts is a hash taken apart: what tells its format and settings, with the rounds in
// the middle, and then salt and key.
type hashParts struct {
	before, digits, after string
	secret                string
	family                string
	rounds                int // 2^cost of bcrypt, iterations of PBKDF2, 1 of another format
}

// kind is what tells the hash's format and settings.
func (h hashParts) kind() string { return h.before + h.digits + h.after }

var (
	bcryptForm = regexp.MustCompile(`^(.*\$2[aby]\$)([0-9]{2})(\$)(.*)$`)
	pbkdf2Form = regexp.MustCompile(`^(.*pbkdf2[_-]sha(?:256|512)\$(?:i=)?)([0-9]{1,9})([^$]*\$)(.*)$`)
)

func splitHash(hash string) hashParts {
	if m := bcryptForm.FindStringSubmatch(hash); m != nil {
		if cost, _ := strconv.Atoi(m[2]); cost < 32 {
			return hashParts{m[1], m[2], m[3], m[4], strings.TrimRight(m[1], "aby$"), 1 << cost}
		}
	}
	if m := pbkdf2Form.FindStringSubmatch(hash); m != nil {
		rounds, _ := strconv.Atoi(m[2])
		return hashParts{m[1], m[2], m[3], m[4], m[1] + m[3], rounds}
	}
	cut := 0
	if parts := strings.Split(hash, "$"); len(parts) > 2 {
		cut = len(strings.Join(parts[:len(parts)-2], "$")) + 1
	} else if colons := strings.Split(hash, ":"); len(colons) > 2 { // Lucia's
		cut = len(strings.Join(colons[:len(colons)-2], ":")) + 1
	}
	return hashParts{before: hash[:cut], secret: hash[cut:], family: hash[:cut], rounds: 1}
}

// checks returns hashes whose checks take so many rounds together.
func (h hashParts) checks(rounds int) (hashes []string) {
	with := func(digits string) string { return h.before + digits + h.after + h.secret }
	switch {
	case rounds <= 0:
	case h.digits == "":
		hashes = append(hashes, with(""))
	case len(h.digits) == 2 && bcryptForm.MatchString(with(h.digits)):
		for cost := 4; rounds>>cost > 0; cost++ {
			if rounds>>cost&1 == 1 {
				hashes = append(hashes, with(fmt.Sprintf("%02d", cost)))
			}
		}
	default:
		hashes = append(hashes, with(strconv.Itoa(rounds)))
	}
	return hashes
}

// nobodys returns a salt and a key of the same form with other characters. The last of
// each part may stand for less than six bits, and stays.
func nobodys(secret string) string {
	other := []byte(secret)
	for i := range len(other) - 1 {
		if next := other[i+1]; next == '$' || next == ':' || next == '=' {
			continue
		}
		switch c := other[i]; {
		case '0' <= c && c <= '9':
			other[i] = '1'
		case 'a' <= c && c <= 'f':
			other[i] = 'a'
		case 'g' <= c && c <= 'z':
			other[i] = 'g'
		case 'A' <= c && c <= 'F':
			other[i] = 'A'
		case 'G' <= c && c <= 'Z':
			other[i] = 'G'
		}
	}
	return string(other)
}
