package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"net/url"
	"strings"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/libtnb/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
)

// The models, with the attributes that the suite's rows have.
type (
	account struct {
		gormkey.User
		Username *string `gorm:"column:username"`
	}
	key     struct{ gormkey.Key[account] }
	session struct {
		gormkey.Session[account]
		Country *string `gorm:"column:country"`
	}
)

// luciasTables lets the plugin work on the tables as Lucia's documentation has them.
func luciasTables() gormkey.Option { return gormkey.WithLuciaV2() }

// poolSize bounds what runs at once, well under a server's own limit.
const poolSize = 8

// openAdapter opens the database and registers the plugin, which checks that the models
// fit the tables' names. It sends no DDL.
func openAdapter(dsn string, tables gormkey.TableNames) (*adapter, error) {
	dialector, err := dialectorFor(dsn)
	if err != nil {
		return nil, err
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, &failure{"DATABASE", "the database cannot be opened" + codeOf(err)}
	}
	pool, err := db.DB()
	if err != nil {
		return nil, &failure{"DATABASE", "the database has no pool"}
	}
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	a := &adapter{db: db, inexact: db.Name() == "mysql"}
	err = pool.Ping()
	if err != nil {
		err = &failure{"DATABASE", "the database cannot be opened" + codeOf(err)}
	} else if err = db.Use(gormkey.NewOf[account, key, session](
		gormkey.WithTableNames(tables), luciasTables(),
	)); err != nil {
		err = invalid("%v", err) // names of tables and columns at most
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func codeOf(err error) string {
	if code := databaseCode(err); code != "" {
		return ", with code " + code
	}
	return ""
}

// dialectorFor reads a DSN. The times are under the grace that the end of input leaves.
func dialectorFor(dsn string) (gorm.Dialector, error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		path = (&url.URL{Path: path}).EscapedPath()
		return sqlite.Open("file:" + path + "?mode=rw&_pragma=busy_timeout(3000)&_pragma=foreign_keys(1)&_txlock=immediate"), nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, invalid("--dsn is no URL") // the error would quote the password
	}
	query := u.Query()
	switch u.Scheme {
	case "postgres", "postgresql":
		if !query.Has("connect_timeout") {
			query.Set("connect_timeout", "3")
		}
		u.RawQuery = query.Encode()
		return postgres.Open(u.String()), nil
	case "mysql":
		// It would write to standard error whatever connection a cancellation ends.
		_ = mysqldriver.SetLogger(log.New(io.Discard, "", 0))
		config := mysqldriver.NewConfig()
		config.User = u.User.Username()
		config.Passwd, _ = u.User.Password()
		config.Net, config.Addr = "tcp", u.Hostname()+":"+cmp.Or(u.Port(), "3306")
		config.DBName = strings.TrimPrefix(u.Path, "/")
		for name, value := range map[string]string{"charset": "utf8mb4", "timeout": "3s"} {
			if !query.Has(name) {
				query.Set(name, value)
			}
		}
		return mysql.Open(config.FormatDSN() + joiner(config.FormatDSN()) + query.Encode()), nil
	}
	return nil, invalid("--dsn begins with none of sqlite:, postgres://, mysql://")
}

func joiner(dsn string) string {
	if strings.Contains(dsn, "?") {
		return "&"
	}
	return "?"
}

// adapter is Lucia's Adapter on one database.
type adapter struct {
	db      *gorm.DB
	inexact bool // an id column may match more than equal bytes
}

func (a *adapter) with(ctx context.Context) *adapter {
	return &adapter{db: a.db.WithContext(ctx), inexact: a.inexact}
}

func (a *adapter) close() {
	if pool, err := a.db.DB(); err == nil {
		_ = pool.Close()
	}
}

// exactly narrows a statement to rows whose column has the bytes of id. On MySQL and
// MariaDB the column's own comparison finds the row, and ignores case and more.
func (a *adapter) exactly(column, id string) *gorm.DB {
	db := a.db.Where(fmt.Sprintf("%s = ?", column), id)
	if a.inexact {
		db = db.Where(fmt.Sprintf("CAST(%s AS BINARY) = CAST(? AS BINARY)", column), id)
	}
	return db
}
