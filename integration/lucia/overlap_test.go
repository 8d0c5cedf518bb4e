package lucia_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"
)

// Requests overlap, and each gets its own answer.
func TestBridgeOverlap(t *testing.T) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			c := openBridge(t, s, s.newDatabase(t))
			each := func(want func(i int) string, method string, args func(i int) []string) {
				t.Helper()
				var answers [100]chan answer
				for i := range answers {
					answers[i] = c.send(method, args(i)...)
				}
				for i, waiting := range answers {
					if a := c.receiveFrom(waiting); a.String() != want(i) {
						t.Errorf("%s %d: %v, not %s", method, i, a, want(i))
					}
				}
			}
			user := func(i int) string { return fmt.Sprintf(`{"id":"u%d_zz9","username":"%d"}`, i, i) }
			key := func(i int) string {
				return fmt.Sprintf(`{"id":"k%d_zz9","user_id":"u%d_zz9","hashed_password":"%d"}`, i, i, i)
			}
			done := func(int) string { return "null" }
			taken := func(int) string { return "AUTH_DUPLICATE_KEY_ID" }
			each(done, "setUser", func(i int) []string { return []string{user(i), key(i)} })
			each(taken, "setKey", func(i int) []string { return []string{key(i)} })
			each(user, "getUser", func(i int) []string { return []string{fmt.Sprintf(`"u%d_zz9"`, i)} })
			each(done, "deleteKey", func(i int) []string { return []string{fmt.Sprintf(`"k%d_zz9"`, i)} })
			each(done, "deleteUser", func(i int) []string { return []string{fmt.Sprintf(`"u%d_zz9"`, i)} })
		})
	}
}

// One of a hundred makes the key, and the others' users are not there.
func TestBridgeOverlapOneKey(t *testing.T) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			db := s.newDatabase(t)
			c := openBridge(t, s, db)
			var answers [100]chan answer
			for i := range answers {
				answers[i] = c.send("setUser", fmt.Sprintf(`{"id":"u%d_zz9","username":null}`, i),
					fmt.Sprintf(`{"id":"one_zz9","user_id":"u%d_zz9","hashed_password":null}`, i))
			}
			made := map[string]int{}
			for _, waiting := range answers {
				made[c.receiveFrom(waiting).String()]++
			}
			if made["null"] != 1 || made["AUTH_DUPLICATE_KEY_ID"] != len(answers)-1 {
				t.Errorf("the answers are %v", made)
			}
			if n := count(t, db.DB, s.quote(s.tables.User)); n != 1 {
				t.Errorf("%d users are there", n)
			}
		})
	}
}

// At the end of input what was asked is done, also hello itself.
func TestBridgeEndOfInput(t *testing.T) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			db := s.newDatabase(t)
			c := startBridge(t, "--dsn", db.url, "--tables", s.flag())
			answers := []chan answer{c.send("hello", `{"protocol":1}`)}
			for i := range 20 {
				answers = append(answers, c.send("setUser", fmt.Sprintf(`{"id":"u%d_zz9","username":null}`, i), `null`))
			}
			c.end(5 * time.Second)
			for _, waiting := range answers {
				if a := c.receiveFrom(waiting); a.Error != nil {
					t.Errorf("%+v", *a.Error)
				}
			}
			if n := count(t, db.DB, s.quote(s.tables.User)); n != 20 {
				t.Errorf("%d users are there", n)
			}
		})
	}
}

// A statement that waits for somebody's lock is given up, and answered.
func TestBridgeEndOfInputBlocked(t *testing.T) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			db := s.newDatabase(t)
			c := openBridge(t, s, db)
			tx, err := db.BeginTx(t.Context(), nil)
			must(t, err)
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(t.Context(), "INSERT INTO "+s.quote(s.tables.User)+" (id) VALUES ('ada_zz9')")
			must(t, err)
			waiting := c.send("setUser", ada, `null`)
			c.end(5 * time.Second)
			if a := c.receiveFrom(waiting); a.String() != "DATABASE" {
				t.Errorf("the answer is %v", a)
			}
		})
	}
}

func count(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	must(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n))
	return n
}
