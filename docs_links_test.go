package gormkey_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pendingPages are linked and not written yet.
var pendingPages []string

var (
	span    = regexp.MustCompile("`[^`\n]*`")
	fence   = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```")
	mdLink  = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	tagLink = regexp.MustCompile(`\b(?:src|srcset|href)="([^"]+)"`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+?)\s*$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestDocLinks follows every relative link of README.md and of the pages in docs, to its file and
// to its heading.
func TestDocLinks(t *testing.T) {
	t.Parallel()
	files := []string{"README.md"}
	err := filepath.WalkDir("docs", func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".md") {
			files = append(files, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		prose := span.ReplaceAllString(fence.ReplaceAllString(string(text), ""), "code")
		for _, m := range append(mdLink.FindAllStringSubmatch(prose, -1), tagLink.FindAllStringSubmatch(prose, -1)...) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			if err := follow(file, m[1]); err != nil {
				t.Errorf("%s: %s: %v", file, m[1], err)
			}
		}
	}
	if len(files) < 20 || followed < 100 {
		t.Errorf("followed %d links of %d files", followed, len(files))
	}
	for _, page := range pendingPages {
		if _, err := os.Stat(page); err == nil {
			t.Errorf("%s is written: take it out of pendingPages", page)
		}
	}
}

// follow finds the file and the heading that a link of a file names.
func follow(from, link string) error {
	target, fragment, _ := strings.Cut(link, "#")
	name := from
	if target != "" {
		name = path.Join(path.Dir(from), target)
	}
	if slices.Contains(pendingPages, name) {
		return nil
	}
	if _, err := os.Stat(name); err != nil {
		return err
	}
	if fragment == "" {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !slices.Contains(slugs(string(text)), fragment) {
		return fmt.Errorf("%s has no such heading", name)
	}
	return nil
}

// slugs returns the anchors that GitHub gives to the headings of a page.
func slugs(text string) (all []string) {
	seen := map[string]int{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		title := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		slug := strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
		if n := seen[slug]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", slug, n))
		} else {
			all = append(all, slug)
		}
		seen[slug]++
	}
	return all
}
