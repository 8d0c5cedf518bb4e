package engine

import "testing"

// engines are those whose types differ.
var engines = map[string]Types{"postgres": postgres{}, "mysql": mysql{}, "sqlite": sqlite{}}

// TestParseType: what a type holds, as an application writes it and as a catalog does.
func TestParseType(t *testing.T) {
	for _, c := range []struct {
		engine, sqlType string
		want            Type
		written         string // for GORM
		size            int
	}{
		{"postgres", "VARCHAR(36)", Type{"text", 36, false}, "varchar(36)", 36},
		{"postgres", "character varying (36)", Type{"text", 36, false}, "character varying(36)", 36},
		{"postgres", "varchar", Type{"text", 0, false}, "varchar", 0},
		{"postgres", `varchar(36) COLLATE "C"`, Type{"text", 36, false}, `varchar(36) COLLATE "C"`, 36},
		{"postgres", `Text COLLATE "C"`, Type{"text", 0, false}, `text COLLATE "C"`, 0},
		{"postgres", "char(36)", Type{"text", 36, true}, "bpchar(36)", 36},
		{"postgres", "character", Type{"text", 1, true}, "bpchar(1)", 1},
		{"postgres", "bpchar", Type{"text", 0, false}, "bpchar", 0},
		{"postgres", "UUID", Type{"uuid", 0, false}, "uuid", 0},
		{"postgres", "extensions.citext", Type{"citext", 0, false}, "extensions.citext", 0},
		{"postgres", `"Auth"."UserID"`, Type{"userid", 0, false}, `"Auth"."UserID"`, 0},
		{"postgres", "int", Type{"integer", 32, false}, "integer", 0},
		{"postgres", "int8", Type{"integer", 64, false}, "bigint", 0},
		{"postgres", "numeric(20, 0)", Type{"numeric", 20, false}, "numeric(20,0)", 0},
		{"mysql", "VARBINARY (36)", Type{"bytes", 36, false}, "varbinary(36)", 36},
		{"mysql", "varchar(36) CHARACTER SET ascii COLLATE ascii_bin", Type{"text", 36, false}, "varchar(36) CHARACTER SET ascii COLLATE ascii_bin", 36},
		{"mysql", "binary(16)", Type{"bytes", 16, true}, "binary(16)", 16},
		{"mysql", "bigint(20) unsigned", Type{"unsigned", 64, false}, "bigint(20) unsigned", 0},
		{"mysql", "int unsigned zerofill", Type{"unsigned", 32, false}, "int unsigned zerofill", 0},
		{"mysql", "bigint(20)", Type{"integer", 64, false}, "bigint(20)", 0},
		{"mysql", "dec(20)", Type{"numeric", 20, false}, "decimal(20)", 0},
		{"sqlite", "character varying(36)", Type{"text", 0, false}, "character varying", 0},
		{"sqlite", "varchar(36)", Type{"text", 0, false}, "varchar(36)", 36},
		{"sqlite", "text COLLATE nocase", Type{"text", 0, false}, "text COLLATE nocase", 0},
		{"sqlite", "uuid", Type{"uuid", 0, false}, "uuid", 0},
		{"sqlite", "BIGINT", Type{"integer", 0, false}, "bigint", 0},
		{"sqlite", "", Type{}, "", 0},
	} {
		if got := engines[c.engine].ParseType(c.sqlType); got != c.want {
			t.Errorf("%s %q: got %+v, want %+v", c.engine, c.sqlType, got, c.want)
		}
		written := engines[c.engine].GORMType(c.sqlType)
		if string(written.Name) != c.written || written.Size != c.size {
			t.Errorf("%s %q: written %q, %d; want %q, %d", c.engine, c.sqlType, written.Name, written.Size, c.written, c.size)
		}
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		engine, found, wanted string
		want                  Fit
	}{
		{"postgres", "character varying(15)", "varchar(15)", Fits},
		{"postgres", "character varying(15)", "varchar(36)", Narrower},
		{"postgres", "character varying(36)", "varchar(15)", Wider},
		{"postgres", "text", "varchar(15)", Wider},
		{"postgres", "character varying(15)", "text", Narrower},
		{"postgres", "uuid", "varchar(36)", OtherType},
		{"postgres", "character(36)", "varchar(36)", OtherType},
		{"postgres", "citext", "text", OtherType},
		{"postgres", "extensions.citext", "citext", Fits},
		{"postgres", "integer", "bigint", Narrower},
		{"postgres", "bigint", "integer", Wider},
		{"mysql", "varchar(15)", "varbinary(15)", Fits},
		{"mysql", "varbinary(16)", "binary(16)", OtherType},
		{"mysql", "bigint(20) unsigned", "bigint", OtherType},
		{"mysql", "varbinary(255)", "varbinary(36)", Wider},
		{"sqlite", "varchar(36)", "text", Fits},
		{"sqlite", "uuid", "text", OtherType},
		{"sqlite", "", "text", Fits},
		{"sqlite", "integer", "text", OtherType},
	} {
		e := engines[c.engine]
		if got := e.Compare(e.ParseType(c.found), e.ParseType(c.wanted)); got != c.want {
			t.Errorf("%s: %q for %q: got %d, want %d", c.engine, c.found, c.wanted, got, c.want)
		}
	}
}

// TestExactType: a type that no option takes becomes one that keeps the ids.
func TestExactType(t *testing.T) {
	for _, c := range []struct{ engine, sqlType, want string }{
		{"mysql", "char(36)", "varbinary(36)"},
		{"mysql", "varchar(36)", "varbinary(36)"},
		{"mysql", "binary(16)", "uuid"},
		{"mysql", "binary(36)", ""},
		{"mysql", "varbinary(36)", ""},
		{"mysql", "varchar(300)", ""},
		{"mysql", "bigint(20) unsigned", ""},
		{"postgres", "character(36)", ""},
		{"sqlite", "text", ""},
	} {
		e := engines[c.engine]
		if got := e.ExactType(Column{SQLType: c.sqlType, Type: e.ParseType(c.sqlType)}); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.engine, c.sqlType, got, c.want)
		}
	}
}
