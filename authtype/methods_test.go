package authtype_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gormkey/gormkey/authtype"
)

var methods = []authtype.Method{"device", "fed", "fed-mfa", "mail", "otp", "passkey", "passkey-uv", "pwd", "recovery"}

// TestR48Methods looks at all 512 sets.
func TestR48Methods(t *testing.T) {
	for bits := range 1 << len(methods) {
		var list []authtype.Method
		var words []string
		in := map[authtype.Method]bool{}
		for i, m := range methods {
			if bits>>i&1 == 1 {
				list, words, in[m] = append(list, m), append(words, string(m)), true
			}
		}
		slices.Reverse(list)
		set := authtype.MethodsOf(append(list, list...)...)
		if string(set) != strings.Join(words, " ") || len(set) > 64 {
			t.Errorf("%v: got %q, want its words sorted", list, set)
		}
		for _, m := range methods {
			if set.Has(m) != in[m] {
				t.Errorf("%q has %s: got %v", set, m, set.Has(m))
			}
		}
		second := in["otp"] || in["recovery"] || in["passkey-uv"] || in["pwd"] && in["passkey"]
		if set.SecondFactor() != second {
			t.Errorf("%q: SecondFactor is %v, want %v", set, set.SecondFactor(), second)
		}
		aal2 := in["passkey-uv"] || in["pwd"] && (in["otp"] || in["recovery"] || in["passkey"])
		if set.AAL2() != aal2 {
			t.Errorf("%q: AAL2 is %v, want %v", set, set.AAL2(), aal2)
		}
		var amr []string
		for value, has := range map[string]bool{"mfa": aal2, "otp": in["otp"], "pwd": in["pwd"], "swk": in["passkey"] || in["passkey-uv"], "user": in["passkey-uv"]} {
			if has {
				amr = append(amr, value)
			}
		}
		slices.Sort(amr)
		if !slices.Equal(set.AMR(), amr) {
			t.Errorf("%q: AMR is %q, want %q", set, set.AMR(), amr)
		}
		var read authtype.Methods
		if err := read.Scan("root  " + strings.Join(words, "  ") + " PWD"); err != nil || read != set {
			t.Errorf("with words that are no methods: got %q, %v, want %q", read, err, set)
		}
	}
}

func TestR48MethodsScan(t *testing.T) {
	for _, c := range []struct {
		stored any
		want   authtype.Methods
	}{{nil, ""}, {"", ""}, {[]byte("pwd otp"), "otp pwd"}, {"pwdotp", ""}, {"\x00", ""}, {"mail", "mail"}} {
		got := authtype.Methods("otp")
		if err := got.Scan(c.stored); err != nil || got != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.stored, got, err, c.want)
		}
	}
	got := authtype.Methods("otp")
	if err := got.Scan(7); err == nil || got != "otp" {
		t.Errorf("a number: got %q, %v", got, err)
	}
	if authtype.MethodsOf("root", "") != "" || authtype.Methods("").Has("") {
		t.Error("a word that is no method is in a set")
	}
}
