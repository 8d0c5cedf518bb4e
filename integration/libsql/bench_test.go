package libsql_test

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	upstream "github.com/tursodatabase/libsql-client-go/libsql"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// BenchmarkValidateSession compares a check with the same join by hand on the client
// alone. They take turns; the figure is the ratio of their medians, at most 1.3.
//
//	go test -run '^$' -bench . -benchtime 3s -count 3
func BenchmarkValidateSession(b *testing.B) {
	for _, scheme := range schemes {
		b.Run(scheme, func(b *testing.B) {
			name := newDatabase(b)
			db := open(b, scheme, name, &gorm.Config{PrepareStmt: true})
			auth, ctx := install(b, db), b.Context()
			var tokens []gormkey.Token
			var ids []string
			for i := range 50 {
				a := &Account{Email: fmt.Sprint(i), CreatedAt: time.Now()}
				must(b, auth.CreateUser(ctx, a))
				session, err := auth.OpenSession(ctx, a.ID)
				must(b, err)
				tokens, ids = append(tokens, session.Token), append(ids, string(session.ID))
			}
			connector, err := upstream.NewConnector(dsn(scheme, name))
			must(b, err)
			raw := sql.OpenDB(connector)
			b.Cleanup(func() { _ = raw.Close() })
			const join = "SELECT s.id, s.user_id, s.active_expires, s.idle_expires, u.id, u.email, u.created_at, u.seen " +
				"FROM user_session s INNER JOIN auth_user u ON u.id = s.user_id WHERE s.id = ?"
			var ours, byHand []time.Duration
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				session, err := auth.ValidateSession(ctx, tokens[i%len(tokens)])
				ours = append(ours, time.Since(start))
				must(b, err)

				var s gormkey.Session[Account]
				var u Account
				var created, seen any // over WebSocket the client has no times
				start = time.Now()
				rows, err := raw.QueryContext(ctx, join, ids[i%len(ids)])
				must(b, err)
				for rows.Next() {
					must(b, rows.Scan(&s.ID, &s.UserID, &s.ActiveExpires, &s.IdleExpires, &u.ID, &u.Email, &created, &seen))
				}
				must(b, rows.Close())
				byHand = append(byHand, time.Since(start))
				if s.ID != session.ID || u.Email != session.User.Email {
					b.Fatal("they found different rows")
				}
			}
			slices.Sort(ours)
			slices.Sort(byHand)
			b.ReportMetric(float64(ours[len(ours)/2])/float64(byHand[len(byHand)/2]), "x-hand")
			b.ReportMetric(float64(ours[len(ours)/2].Microseconds()), "µs/check")
		})
	}
}
