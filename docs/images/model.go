//go:build ignore

// Model draws the tables and a session's life, in light and in dark:
//
//	go run model.go
package main

import (
	"fmt"
	"log"
	"os"
	"strings"
)

type colors struct{ text, soft, line, box, accent, warn, dead string }

var schemes = map[string]colors{
	"model-light.svg": {"#1f2328", "#59636e", "#818b98", "#f6f8fa", "#0969da", "#9a6700", "#d1242f"},
	"model-dark.svg":  {"#f0f6fc", "#b7bfc8", "#9198a1", "#151b23", "#4493f8", "#d29922", "#f85149"},
}

// table draws a box with a title, its table's name, and columns.
func table(b *strings.Builder, c colors, x, y int, title, name string, columns ...string) {
	height := 44 + 20*len(columns)
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="204" height="%d" rx="6" fill="%s" stroke="%s"/>`+"\n", x, y, height, c.box, c.line)
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600">%s</text>`+"\n", x+12, y+23, title)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="%s" font-size="12">%s</text>`+"\n", x+192, y+23, c.soft, name)
	for i, column := range columns {
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s" font-size="12">%s</text>`+"\n", x+12, y+48+20*i, c.soft, column)
	}
}

// arrow draws a line with a head from x1, y1 to x2, y2, and a text over its middle.
func arrow(b *strings.Builder, c colors, x1, y1, x2, y2 int, text string) {
	fmt.Fprintf(b, `<path d="M%d %dL%d %d" stroke="%s" fill="none" marker-end="url(#head)"/>`+"\n", x1, y1, x2, y2, c.line)
	if text != "" {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" fill="%s" font-size="12">%s</text>`+"\n", (x1+x2)/2, (y1+y2)/2-7, c.soft, text)
	}
}

// stage draws a stage of a session's life.
func stage(b *strings.Builder, color string, x, width int, title, text string) {
	fmt.Fprintf(b, `<rect x="%d" y="262" width="%d" height="54" rx="27" fill="none" stroke="%s" stroke-width="2"/>`+"\n", x, width, color)
	fmt.Fprintf(b, `<text x="%d" y="285" text-anchor="middle" font-weight="600" fill="%s">%s</text>`+"\n", x+width/2, color, title)
	fmt.Fprintf(b, `<text x="%d" y="304" text-anchor="middle" font-size="12">%s</text>`+"\n", x+width/2, text)
}

func draw(c colors) string {
	b := new(strings.Builder)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 10 760 352" font-family="system-ui, sans-serif" font-size="15" fill="%s">`+"\n", c.text)
	fmt.Fprintf(b, `<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="%s"/></marker></defs>`+"\n", c.line)
	table(b, c, 20, 24, "Key", "user_key", "provider and id there", "password hash, or none", "user_id")
	table(b, c, 278, 24, "User", "auth_user", "id", "your columns", "")
	table(b, c, 536, 24, "Session", "user_session", "SHA-256 of its token", "active and idle until", "user_id")
	arrow(b, c, 224, 114, 276, 114, "n : 1")
	arrow(b, c, 536, 114, 484, 114, "n : 1")
	fmt.Fprintf(b, `<text x="20" y="168" fill="%s" font-size="13">A way to sign in</text>`+"\n", c.soft)
	fmt.Fprintf(b, `<text x="278" y="168" fill="%s" font-size="13">Your model embeds gormkey.User</text>`+"\n", c.soft)
	fmt.Fprintf(b, `<text x="536" y="168" fill="%s" font-size="13">A device that is signed in</text>`+"\n", c.soft)
	stage(b, c.accent, 140, 150, "active", "1 day")
	stage(b, c.warn, 370, 150, "idle", "14 days")
	stage(b, c.dead, 600, 140, "dead", "refused")
	arrow(b, c, 20, 289, 136, 289, "sign in")
	arrow(b, c, 290, 289, 366, 289, "")
	arrow(b, c, 520, 289, 596, 289, "")
	fmt.Fprintf(b, `<path d="M445 262C420 214 240 214 217 258" stroke="%s" fill="none" marker-end="url(#head)"/>`+"\n", c.line)
	fmt.Fprintf(b, `<text x="331" y="217" text-anchor="middle" fill="%s" font-size="12">a check renews it</text>`+"\n", c.soft)
	fmt.Fprintf(b, `<path d="M215 316C240 346 600 346 664 320" stroke="%s" fill="none" marker-end="url(#head)" stroke-dasharray="4 4"/>`+"\n", c.line)
	fmt.Fprintf(b, `<text x="440" y="354" text-anchor="middle" fill="%s" font-size="12">sign out, new password, user deleted</text>`+"\n", c.soft)
	return b.String() + "</svg>\n"
}

func main() {
	for file, c := range schemes {
		if err := os.WriteFile(file, []byte(draw(c)), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
