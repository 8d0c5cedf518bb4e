// Command report reads what go test -json writes and prints what go test would: a line a
// package, and all that a failed test said. In a folder it appends to the file cases a
// line for each test case, with its result, seconds, package and name, and to the file
// packages the packages' lines.
//
//	go test -json ./... | report DIR
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// event is a line of go test -json: see go doc cmd/test2json.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// test names a test, or with "" what its package printed.
type test struct{ pkg, name string }

// report holds what tests printed that have not ended, and which have cases.
type report struct {
	cases, packages *os.File
	printed         map[test][]string
	parents         map[test]bool
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go test -json … | report DIR")
	}
	r := &report{printed: map[test][]string{}, parents: map[test]bool{}}
	r.cases = appending(filepath.Join(os.Args[1], "cases"))
	r.packages = appending(filepath.Join(os.Args[1], "packages"))
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.read(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := errors.Join(r.cases.Close(), r.packages.Close()); err != nil {
		log.Fatal(err)
	}
}

func appending(name string) *os.File {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	return file
}

// isResult finds the line that go test ends a package with.
var isResult = regexp.MustCompile(`^(ok|FAIL|\?)\s+\t`)

func (r *report) read(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		r.print(string(line)) // not by go test
		return
	}
	t := test{e.Package, e.Test}
	switch e.Action {
	case "run":
		for i, c := range e.Test { // a case's own name may have a slash too
			if c == '/' {
				r.parents[test{e.Package, e.Test[:i]}] = true
			}
		}
	case "build-output":
		r.print(e.Output)
	case "output":
		switch {
		case e.Test != "":
			r.printed[t] = append(r.printed[t], e.Output)
		case e.Output != "PASS\n":
			r.print(e.Output)
		}
		if e.Test == "" && isResult.MatchString(e.Output) {
			_, _ = r.packages.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
			return
		}
		if e.Action == "fail" {
			r.print(r.printed[t]...)
		}
		delete(r.printed, t)
		if !r.parents[t] {
			fmt.Fprintf(r.cases, "%s\t%.2f\t%s\t%s\n", e.Action, e.Elapsed, e.Package, e.Test)
		}
	}
}

// endPackage prints what those tests said that were running when a package failed.
func (r *report) endPackage(e event) {
	var running []string
	for t := range r.printed {
		if t.pkg == e.Package {
			running = append(running, t.name)
		}
	}
	slices.Sort(running)
	for _, name := range running {
		t := test{e.Package, name}
		if e.Action == "fail" {
			r.print(r.printed[t]...)
		}
		delete(r.printed, t)
	}
}

func (*report) print(output ...string) {
	for _, o := range output {
		_, _ = os.Stdout.WriteString(o)
	}
}
