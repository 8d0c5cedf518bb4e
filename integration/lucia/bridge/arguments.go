package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/gormkey/gormkey"
)

// protocol is the version that hello asks for.
const protocol = 1

// hello returns the tables that a hello asks for, with those of the flag for the others.
func (r *request) hello(tables gormkey.TableNames) (gormkey.TableNames, error) {
	raw := r.Params
	if len(r.Args) > 0 {
		raw = r.Args[0]
	}
	var hello struct {
		Protocol int               `json:"protocol"`
		Tables   map[string]string `json:"tables"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &hello) != nil {
		return tables, invalid(`hello wants {"protocol":1,"tables":{…}}`)
	}
	if hello.Protocol != protocol {
		return tables, invalid("the protocol is %d; 1 is known", hello.Protocol)
	}
	for model, table := range hello.Tables {
		if err := setTable(&tables, model, table); err != nil {
			return tables, invalid("tables: %v", err)
		}
	}
	return tables, nil
}

// kind is what a column may hold.
type kind int

const (
	identity kind = iota // a text
	text                 // a text or null
	milli                // a moment in milliseconds
)

// The columns of the suite's rows.
var (
	userColumns    = map[string]kind{"id": identity, "username": text}
	keyColumns     = map[string]kind{"id": identity, "user_id": identity, "hashed_password": text}
	sessionColumns = map[string]kind{
		"id": identity, "user_id": identity, "active_expires": milli, "idle_expires": milli, "country": text,
	}
)

// values are a row's, by column: a string, nil or a gormkey.UnixMilli.
type values map[string]any

func (v values) text(column string) string { return v[column].(string) }

// optional returns nil for NULL.
func optional[S ~string](v values, column string) *S {
	s, ok := v[column].(string)
	if !ok {
		return nil
	}
	value := S(s)
	return &value
}

// parseRow reads a whole row.
func parseRow(raw json.RawMessage, columns map[string]kind) (values, error) {
	v, err := parsePartial(raw, columns)
	if err != nil {
		return nil, err
	}
	for column := range columns {
		if _, ok := v[column]; !ok {
			return nil, invalid("the row has no %s", column)
		}
	}
	return v, nil
}

// parsePartial reads some columns of a row.
func parsePartial(raw json.RawMessage, columns map[string]kind) (values, error) {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(raw, &row); err != nil || row == nil {
		return nil, invalid("the row is no object")
	}
	v := make(values, len(row))
	for column, raw := range row {
		kind, ok := columns[column]
		if !ok {
			return nil, invalid("the row has a column that is not known")
		}
		value, err := parseValue(raw, kind)
		if err != nil {
			return nil, invalid("%s %v", column, err)
		}
		v[column] = value
	}
	return v, nil
}

func parseValue(raw json.RawMessage, kind kind) (any, error) {
	switch {
	case kind == milli:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		var m gormkey.UnixMilli
		if err != nil || m.Scan(n) != nil { // what would not be read again
			return nil, fmt.Errorf("is no whole number of milliseconds from 1970 to 9999")
		}
		return m, nil
	case kind == text && string(raw) == "null":
		return nil, nil
	}
	s, err := parseText(raw)
	if err == nil && kind == identity && s == "" {
		err = fmt.Errorf("is empty") // GORM would ask the plugin for an id
	}
	return s, err
}

// parseID reads an id to look for.
func parseID(raw json.RawMessage) (string, error) {
	id, err := parseText(raw)
	if err != nil {
		return "", invalid("the id %v", err)
	}
	return id, nil
}

func parseText(raw json.RawMessage) (string, error) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", fmt.Errorf("is no string")
	}
	if strings.ContainsRune(*s, 0) {
		return "", fmt.Errorf("holds a NUL, which not every engine stores")
	}
	return *s, nil
}
