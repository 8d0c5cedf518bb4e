package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/integration/internal/app"
	"github.com/gormkey/gormkey/tables"
)

// A table that was there before, with an id that compares text by the rules of some
// language, would let "github:AbC" sign in as "github:abc". The first definition is
// Lucia's own.
func TestMySQLInexactID(t *testing.T) {
	onEach(t, mysqlServers, func(t *testing.T, s *server) {
		for _, c := range []struct {
			definition string // of user_key.id
			exact      bool
		}{
			{"varchar(255)", false},
			{"varchar(255) COLLATE utf8mb4_general_ci", false},
			{"varchar(255) COLLATE utf8mb4_unicode_ci", false},
			{"varchar(255) COLLATE utf8mb4_unicode_520_ci", false},
			{"varchar(255) COLLATE utf8mb4_bin", false},
			{"varchar(255) COLLATE utf8mb4_uca1400_as_cs", false},
			{"varchar(255) COLLATE utf8mb4_0900_ai_ci", false},
			{"varchar(255) COLLATE utf8mb4_0900_as_cs", false},
			{"varchar(255) COLLATE utf8mb3_bin", false},
			{"varchar(255) COLLATE ascii_general_ci", false},
			{"varchar(255) COLLATE ascii_bin", false},
			{"varchar(255) COLLATE latin1_general_ci", false},
			{"varchar(255) COLLATE latin1_general_cs", false},
			{"varchar(255) COLLATE latin1_bin", false},
			{"char(255) COLLATE utf8mb4_bin", false},
			{"binary(255)", false}, // padded with NULs
			{"varbinary(255)", true},
			{"varchar(255) COLLATE utf8mb4_nopad_bin", true}, // MariaDB
			{"varchar(255) COLLATE utf8mb4_0900_bin", true},  // MySQL
		} {
			t.Run(c.definition, func(t *testing.T) {
				db := s.open(t)
				err := db.Exec("CREATE TABLE user_key (id " + c.definition + " NOT NULL PRIMARY KEY, user_id varbinary(15) NOT NULL, hashed_password varchar(255))").Error
				if unknown := new(mysql.MySQLError); errors.As(err, &unknown) && unknown.Number == 1273 {
					t.Skip("the server does not know this collation")
				}
				app.Must(t, err)
				plugin := app.New()
				err = db.Use(plugin)
				if c.exact {
					app.Must(t, err)
					return
				}
				var inexact *tables.InexactIDError
				if !errors.As(err, &inexact) {
					t.Fatalf("got error %v, want a %T", err, inexact)
				}
				if inexact.Table != "user_key" || inexact.Column != "id" {
					t.Errorf("got column %s.%s, want user_key.id", inexact.Table, inexact.Column)
				}
				if err := plugin.AutoMigrate(db); !errors.Is(err, gormkey.ErrNotRegistered) {
					t.Errorf("AutoMigrate after the refusal: got error %v, want %v", err, gormkey.ErrNotRegistered)
				}
				app.Must(t, db.Exec(inexact.Statement).Error)
				app.Flow(t, app.Install(t, open(t, db.Dialector, &gorm.Config{}), app.New()))
			})
		}
	})
}

// Both id columns of all three tables are looked at, and named.
func TestMySQLInexactIDColumns(t *testing.T) {
	onEach(t, mysqlServers, func(t *testing.T, s *server) {
		db := s.open(t)
		for _, table := range []string{
			"auth_user (id varchar(15) NOT NULL PRIMARY KEY)",
			"user_key (id varchar(255) NOT NULL PRIMARY KEY, user_id varchar(15) NOT NULL, hashed_password varchar(255))",
			"user_session (id varchar(128) NOT NULL PRIMARY KEY, user_id varchar(15) NOT NULL, active_expires bigint NOT NULL, idle_expires bigint NOT NULL)",
		} {
			app.Must(t, db.Exec("CREATE TABLE "+table).Error)
		}
		err := db.Use(app.New())
		if !errors.Is(err, tables.ErrInexactID) {
			t.Fatalf("got error %v, want %v", err, tables.ErrInexactID)
		}
		for _, column := range []string{"auth_user.id", "user_key.id", "user_key.user_id", "user_session.id", "user_session.user_id"} {
			if want := fmt.Sprintf("gormkey: %s is varchar", column); !strings.Contains(err.Error(), want) {
				t.Errorf("got error %q, want %q in it", err, want)
			}
		}
	})
}
