package gormkey

import "testing"

// TestIDType: what a type holds, as an application writes it and as a catalog does.
func TestIDType(t *testing.T) {
	for _, c := range []struct {
		dialect, sqlType string
		want             idType
		written          string // for GORM
		size             int
	}{
		{"postgres", "VARCHAR(36)", idType{"text", 36, false}, "varchar(36)", 36},
		{"postgres", "character varying (36)", idType{"text", 36, false}, "character varying(36)", 36},
		{"postgres", "varchar", idType{"text", 0, false}, "varchar", 0},
		{"postgres", `varchar(36) COLLATE "C"`, idType{"text", 36, false}, `varchar(36) COLLATE "C"`, 36},
		{"postgres", `Text COLLATE "C"`, idType{"text", 0, false}, `text COLLATE "C"`, 0},
		{"postgres", "char(36)", idType{"text", 36, true}, "bpchar(36)", 36},
		{"postgres", "character", idType{"text", 1, true}, "bpchar(1)", 1},
		{"postgres", "bpchar", idType{"text", 0, false}, "bpchar", 0},
		{"postgres", "UUID", idType{"uuid", 0, false}, "uuid", 0},
		{"postgres", "extensions.citext", idType{"citext", 0, false}, "extensions.citext", 0},
		{"postgres", `"Auth"."UserID"`, idType{"userid", 0, false}, `"Auth"."UserID"`, 0},
		{"postgres", "int", idType{"integer", 32, false}, "integer", 0},
		{"postgres", "int8", idType{"integer", 64, false}, "bigint", 0},
		{"postgres", "numeric(20, 0)", idType{"numeric", 20, false}, "numeric(20,0)", 0},
		{"mysql", "VARBINARY (36)", idType{"bytes", 36, false}, "varbinary(36)", 36},
		{"mysql", "varchar(36) CHARACTER SET ascii COLLATE ascii_bin", idType{"text", 36, false}, "varchar(36) CHARACTER SET ascii COLLATE ascii_bin", 36},
		{"mysql", "binary(16)", idType{"bytes", 16, true}, "binary(16)", 16},
		{"mysql", "bigint(20) unsigned", idType{"unsigned", 64, false}, "bigint(20) unsigned", 0},
		{"mysql", "int unsigned zerofill", idType{"unsigned", 32, false}, "int unsigned zerofill", 0},
		{"mysql", "bigint(20)", idType{"integer", 64, false}, "bigint(20)", 0},
		{"mysql", "dec(20)", idType{"numeric", 20, false}, "decimal(20)", 0},
		{"sqlite", "character varying(36)", idType{"text", 0, false}, "character varying", 0},
		{"sqlite", "varchar(36)", idType{"text", 0, false}, "varchar(36)", 36},
		{"sqlite", "text COLLATE nocase", idType{"text", 0, false}, "text COLLATE nocase", 0},
		{"sqlite", "uuid", idType{"uuid", 0, false}, "uuid", 0},
		{"sqlite", "BIGINT", idType{"integer", 0, false}, "bigint", 0},
		{"sqlite", "", idType{}, "", 0},
	} {
		if got := parseIDType(c.dialect, c.sqlType); got != c.want {
			t.Errorf("%s %q: got %+v, want %+v", c.dialect, c.sqlType, got, c.want)
		}
		written, size := gormType(c.dialect, c.sqlType)
		if string(written) != c.written || size != c.size {
			t.Errorf("%s %q: written %q, %d; want %q, %d", c.dialect, c.sqlType, written, size, c.written, c.size)
		}
	}
}

func TestIDTypeFit(t *testing.T) {
	for _, c := range []struct {
		dialect, found, wanted string
		want                   fit
	}{
		{"postgres", "character varying(15)", "varchar(15)", fits},
		{"postgres", "character varying(15)", "varchar(36)", narrower},
		{"postgres", "character varying(36)", "varchar(15)", wider},
		{"postgres", "text", "varchar(15)", wider},
		{"postgres", "character varying(15)", "text", narrower},
		{"postgres", "uuid", "varchar(36)", otherType},
		{"postgres", "character(36)", "varchar(36)", otherType},
		{"postgres", "citext", "text", otherType},
		{"postgres", "extensions.citext", "citext", fits},
		{"postgres", "integer", "bigint", narrower},
		{"postgres", "bigint", "integer", wider},
		{"mysql", "varchar(15)", "varbinary(15)", fits},
		{"mysql", "varbinary(16)", "binary(16)", otherType},
		{"mysql", "bigint(20) unsigned", "bigint", otherType},
		{"mysql", "varbinary(255)", "varbinary(36)", wider},
		{"sqlite", "varchar(36)", "text", fits},
		{"sqlite", "uuid", "text", otherType},
		{"sqlite", "", "text", fits},
		{"sqlite", "integer", "text", otherType},
	} {
		if got := parseIDType(c.dialect, c.found).against(c.dialect, parseIDType(c.dialect, c.wanted)); got != c.want {
			t.Errorf("%s: %q for %q: got %d, want %d", c.dialect, c.found, c.wanted, got, c.want)
		}
	}
}
