package gormkey

import (
	"slices"
	"time"

	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/authtype"
)

// WithSessionFacts makes each session remember when it was opened, when and by which methods its
// user last showed who they are, and whether the user wants to be remembered. It adds the columns
// opened_at, authenticated_at, factor_at, methods and remembered to the table of sessions.
// [RepositoryOf.Reauthenticate], [RepositoryOf.As] and [RepositoryOf.Remembered] need it.
//
// The columns may be NULL, so older processes go on working on the table. Sessions that were
// opened before, or by such a process, are valid and are never recent.
func WithSessionFacts() Option { return func(o *options) { o.facts = true } }

// factColumns are the columns of [WithSessionFacts].
var factColumns = []string{"opened_at", "authenticated_at", "factor_at", "methods", "remembered"}

// wishes are what a caller asks for by the functions of set.
type wishes struct {
	replaced   []Token // whose sessions end
	by         []authtype.Method
	remembered *bool
}

// wish adds to what the caller asks for.
func (s *SessionOf[P]) wish(add func(w *wishes)) {
	var w wishes
	if s.wishes != nil {
		w = s.wishes()
	}
	add(&w)
	s.wishes = func() wishes { return w }
}

// Replacing ends the session that the client came with, if there is one, in the transaction that
// opens the new one. So a token never survives a sign-in, and nobody can plant a token that they
// know (session fixation, OWASP ASVS 7.2.4). If several tokens are given, or Replacing is given
// several times, then each of these sessions ends: a browser may send two cookies of one name. A
// malformed token is skipped.
func (r *RepositoryOf[U, K, S]) Replacing(tokens ...Token) func(S) {
	return func(session S) {
		r.sessionOf(session).wish(func(w *wishes) { w.replaced = append(slices.Clone(w.replaced), tokens...) })
	}
}

// By says how the user has shown who they are, for sessions that are opened without a password:
// by [RepositoryOf.OpenSession], or by [RepositoryOf.SignIn] with credentials of [Proved], whose
// method is [authtype.MethodFederation] without it. A sign-in with a password has the method
// [authtype.MethodPassword], and one with a mailed token [authtype.MethodMail], whatever By says.
// It needs [WithSessionFacts].
func (r *RepositoryOf[U, K, S]) By(methods ...authtype.Method) func(S) {
	return func(session S) { r.sessionOf(session).wish(func(w *wishes) { w.by = slices.Clone(methods) }) }
}

// unremembered is the longest time for which a session lives unused if the user did not want to
// be remembered: 24 hours. NIST SP 800-63B-4, 5.1, wants no persistent cookie then, and a browser
// that restores its tabs keeps the others.
const unremembered = 24 * time.Hour

// Remembered says whether the user wants to be remembered, the "keep me signed in" of a form. It
// is stored with the session, and kept when it is renewed. If it is false, the session ends at most
// 24 hours after it was last used, or as [WithSessionPeriods] says if that is less, and package
// httpauth sends a cookie that the browser forgets when it is closed. (A process without the
// option, such as a Lucia, renews the session for as long as every other.) If it is true, or is not
// given, the session has the periods of [WithSessionPeriods]. It needs [WithSessionFacts].
func (r *RepositoryOf[U, K, S]) Remembered(yes bool) func(S) {
	return func(session S) { r.sessionOf(session).wish(func(w *wishes) { w.remembered = &yes }) }
}

// periods returns the active and the idle period of a session.
func (o *options) periods(remembered *bool) (active, idle time.Duration) {
	if remembered == nil || *remembered || o.active+o.idle <= unremembered {
		return o.active, o.idle
	}
	// Half of it is active: the session is renewed at most twice a day, and is used up 24 hours
	// after the renewal.
	active = min(o.active, unremembered/2)
	return active, unremembered - active
}

// factsOf returns the columns of facts with their values for an INSERT, none without
// [WithSessionFacts]. GORM does not write them, since their fields are read-only for it.
func (r *RepositoryOf[U, K, S]) factsOf(session *SessionOf[U]) (columns []clause.Column, values []any) {
	if !r.opts.facts {
		return nil, nil
	}
	for _, name := range factColumns {
		columns = append(columns, clause.Column{Name: name})
	}
	return columns, []any{session.OpenedAt, orNull(session.AuthenticatedAt), orNull(session.FactorAt), string(session.Methods), asNumber(session.Remembered)}
}

// orNull returns a moment for the database, NULL for never.
func orNull(at UnixMilli) any {
	if at == 0 {
		return nil
	}
	return at
}

// asNumber returns a bool for a SMALLINT.
func asNumber(b *bool) any {
	switch {
	case b == nil:
		return nil
	case *b:
		return 1
	}
	return 0
}

// checkWishes refuses what the plugin has no columns for.
func (o *options) checkWishes(w wishes) error {
	if !o.facts && (w.by != nil || w.remembered != nil) {
		return &UsageError{"set", "has By or Remembered; give the plugin WithSessionFacts"}
	}
	for _, m := range w.by {
		if authtype.MethodsOf(m) == "" {
			return &UsageError{"By", "has a method that is none of package authtype"}
		}
	}
	return nil
}

// checkFacts refuses operations that need the facts.
func (r *RepositoryOf[U, K, S]) checkFacts() error {
	if r.err == nil && !r.opts.facts {
		return &UsageError{"plugin", "has no facts of sessions; give it WithSessionFacts"}
	}
	return r.err
}

// RecentWithin reports whether the user showed who they are within a period before a time. It is
// false for a session that has no such time, and for one that lies more than a minute ahead.
// Whether the method was good enough for the user is asked by [RepositoryOf.As] only.
func (s *SessionOf[P]) RecentWithin(at time.Time, period time.Duration) bool {
	now := UnixMilli(at.UnixMilli())
	return s.AuthenticatedAt > 0 && s.AuthenticatedAt >= now-milli(period) && s.AuthenticatedAt <= now+milli(time.Minute)
}
