package gormkey_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// linked is what a user's binary may link: gorm, x/crypto, x/text, and what they pull.
var linked = regexp.MustCompile(`^(github\.com/gormkey/gormkey|gorm\.io/gorm|github\.com/jinzhu/(inflection|now)|golang\.org/x/(crypto|text|sys))(/|$)`)

func TestLinkedModules(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".", "./password", "./password/pwned", "./gormkeytest", "./throttle", "./httpauth").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 10 {
		t.Fatalf("got %d packages: %q", len(packages), packages)
	}
	for _, p := range packages {
		if !linked.MatchString(p) {
			t.Errorf("links %s", p)
		}
	}
}
