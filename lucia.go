package gormkey

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// WithLuciaV2 fits the plugin to the tables of a Lucia v2, so that both may work on them at once:
//
//   - The tables may have any of the column types that Lucia documents. AutoMigrate sends no DDL
//     for a table that exists, not even for a missing index; it adds your own new columns.
//     [RepositoryOf.Audit] says what the tables lack.
//   - A session's id is the token itself, as in Lucia: whoever reads the table can sign in as
//     anybody. A [SessionID] shows its SHA-256 when it is printed, logged or encoded, and an
//     [event.Event] holds only that; string(session.ID) is the token. Once Lucia is gone,
//     [WithHashedTokens] changes this. A token of 64 hexadecimal digits is taken for a hashed
//     one, and a token under 22 characters is refused.
//   - New password hashes are Lucia's, so that Lucia verifies them; [WithPasswordHasher] changes
//     that. There is no password policy except your own. A password that is not valid UTF-8
//     counts as JavaScript would read it.
//   - User ids may be as long as the column, 255 bytes at most. On MySQL and MariaDB id columns
//     may be of any collation, as with [WithInsecureInexactIDs].
//
// Lucia's faults are not part of it: see docs/from-lucia.md.
func WithLuciaV2() Option { return func(o *options) { o.lucia, o.inexactIDs = true, true } }

// WithHashedTokens, together with [WithLuciaV2], stores the SHA-256 of each new session's token
// instead of the token, and still accepts the sessions that have the token. Lucia itself, and a
// gormkey without WithLuciaV2, do not accept both. So set it when no Lucia is running any more,
// and all of your processes have WithLuciaV2. [RepositoryOf.HashStoredTokens] then replaces the
// tokens in the old rows, and nobody is signed out. A [Session].ID that was read before no longer
// names a session after that.
func WithHashedTokens() Option { return func(o *options) { o.hashTokens = true } }

// sessionID is the id under which a token's session is stored.
func (o *options) sessionID(t Token) string {
	if o.lucia && !o.hashTokens && !SessionID(t).Hashed() {
		return string(t)
	}
	return string(t.ID())
}

// sessionIDs are the n ids under which a token's session may be found. They are in the order in
// which its row moves while tokens are hashed, so that no lookup misses it: a row that has left
// the first place is in the second. A token that looks like a hash is never used as an id:
// otherwise somebody who has read the table of hashes could sign in with one of them.
func (o *options) sessionIDs(t Token) (ids [2]string, n int) {
	if !o.lucia || SessionID(t).Hashed() {
		return [2]string{string(t.ID())}, 1
	}
	return [2]string{string(t), string(t.ID())}, 2
}

// leaveTablesAlone makes GORM's migrator leave Lucia's tables as they are. For a table that
// exists it hides the columns, and the indexes and constraints of Key and Session, from the
// migrator.
func (b *binding) leaveTablesAlone(opts *options) error {
	if !opts.lucia {
		return nil
	}
	b.frozen = map[string]bool{}
	for _, s := range append(b.children(), b.user) {
		table, err := b.engine.Table(b.db, s.Table, "user_id", b.user.Table)
		if err != nil {
			return err
		}
		if !table.Exists {
			continue
		}
		b.frozen[s.Table] = true
		for _, f := range s.Fields {
			if _, ok := table.Columns[f.DBName]; ok && f.DBName != "" {
				f.IgnoreMigration = true
			}
		}
		for _, name := range []string{"user_id", "idle_expires"} {
			if f := s.FieldsByDBName[name]; f != nil && s != b.user {
				delete(f.TagSettings, "INDEX")
			}
		}
		for _, rel := range s.Relationships.Relations {
			for _, ref := range rel.References {
				if ref.PrimaryKey == b.userID && s != b.user {
					rel.Field.TagSettings["CONSTRAINT"] = "-"
				}
			}
		}
		if s == b.user {
			opts.userIDMax = 255
			if n := textWidth(table.Columns["id"].SQLType); n > 0 {
				opts.userIDMax = min(n, 255)
			}
		}
	}
	for _, s := range b.children() { // a table that only gormkey has, such as tokens, has to take Lucia's ids too
		if f := s.FieldsByDBName["user_id"]; !b.frozen[s.Table] && f.DataType == schema.String && f.Size > 0 {
			f.Size = max(f.Size, opts.userIDMax)
		}
	}
	return nil
}

// HashStoredTokens replaces the tokens in the sessions' table by their SHA-256, and returns how
// many it replaced, with an error too. It works in batches that each commit by themselves: it may
// be stopped through ctx and called again, while requests are served. It needs
// [WithHashedTokens], by which sessions are found in both forms meanwhile. Once it has returned
// 0, no token is left.
func (r *RepositoryOf[U, K, S]) HashStoredTokens(ctx context.Context, opts ...CleanupOption) (replaced int64, err error) {
	if r.err != nil {
		return 0, r.err
	}
	if !r.opts.hashTokens {
		return 0, &UsageError{"plugin", "was not given WithHashedTokens, without which the sessions would not be found"}
	}
	o, err := newCleanup(opts)
	if err != nil {
		return 0, err
	}
	const op = "hash stored tokens"
	id, table := clause.Column{Name: "id"}, clause.Table{Name: r.b.session.Table}
	behind := clause.Expr{SQL: "1 = 1"}
	for {
		db, err := r.session(ctx)
		if err != nil {
			return replaced, err
		}
		var ids []string
		if err := db.Raw("SELECT ? FROM ? WHERE ? ORDER BY ? LIMIT ?", id, table, behind, id, o.batch).Scan(&ids).Error; err != nil {
			return replaced, callerError(ctx, op, err)
		}
		if len(ids) == 0 {
			return replaced, nil
		}
		behind = clause.Expr{SQL: "? > ?", Vars: []any{id, ids[len(ids)-1]}}
		n, err := r.hashTokens(ctx, op, ids)
		replaced += n
		if err != nil {
			return replaced, err
		}
		if n > 0 {
			if err := o.progress(replaced); err != nil {
				return replaced, err
			}
		}
	}
}

// hashTokens replaces the tokens of one batch in a transaction, so a session is found by one of
// its two ids at any time.
func (r *RepositoryOf[U, K, S]) hashTokens(ctx context.Context, op string, ids []string) (n int64, err error) {
	if err := r.checkReadsBack(); err != nil {
		return 0, err
	}
	var results []*gorm.DB
	err = r.do(ctx, op, func(u *unit) error {
		results = nil
		if err := r.b.lockWrites(u.tx); err != nil {
			return err
		}
		for _, id := range ids {
			if SessionID(id).Hashed() {
				continue
			}
			u.then(func(tx *gorm.DB) error {
				result := tx.Model(new(SessionOf[U])).Where(r.b.idIs(id)).UpdateColumn("id", string(Token(id).ID()))
				results = append(results, result)
				return result.Error
			})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return r.b.rowsOf(results), nil
}
