package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

// oauth signs people in with one provider, by the authorization code flow with PKCE (RFC
// 9700). With several providers each has a callback of its own, so that an answer of one
// is not taken for another's.
type oauth struct {
	db       *gorm.DB
	auth     *gormkey.Repository[Account]
	web      *httpauth.Auth[Account, gormkey.Session[Account]]
	provider string // the first part of its keys: one for each issuer, and for good
	config   oauth2.Config
	userinfo string // its endpoint
	client   *http.Client
}

var (
	errState    = errors.New("this sign-in was not begun in this browser, or is over: begin again")
	errDenied   = errors.New("the provider did not let you sign in")
	errProvider = errors.New("the provider cannot be reached: try again later")
)

// signIn begins a sign-in, and link to add the provider to the account that is signed in.
// Both are POSTs with a checked origin: another site cannot begin one.
func (o *oauth) signIn(w http.ResponseWriter, r *http.Request) {
	if err := o.web.CheckOrigin(r); err != nil {
		o.web.Error(w, r, err)
		return
	}
	o.begin(w, r, "")
}

func (o *oauth) link(w http.ResponseWriter, r *http.Request) { // behind RequireUser
	o.begin(w, r, o.web.Session(r.Context()).ID.String())
}

func (o *oauth) begin(w http.ResponseWriter, r *http.Request, linkTo string) {
	f := flow{state: rand.Text(), verifier: oauth2.GenerateVerifier(), linkTo: linkTo}
	http.SetCookie(w, f.cookie())
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, o.config.AuthCodeURL(f.state, oauth2.S256ChallengeOption(f.verifier)), http.StatusSeeOther)
}

// callback is where the provider sends the browser back to. It is a GET that signs in, which no
// origin protects: the state does, since only the browser that began has its cookie.
func (o *oauth) callback(w http.ResponseWriter, r *http.Request) {
	f, ok := readFlow(r)
	http.SetCookie(w, noFlow()) // good for one answer, whichever
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the URL holds the code
	err := errState
	if ok && subtle.ConstantTimeCompare([]byte(f.state), []byte(r.URL.Query().Get("state"))) == 1 {
		err = o.finish(w, r, f)
	}
	switch {
	case err == nil:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case errors.Is(err, errState):
		http.Error(w, errState.Error(), http.StatusBadRequest)
	case errors.Is(err, errDenied):
		slog.InfoContext(r.Context(), "oauth", "error", err)
		http.Error(w, errDenied.Error(), http.StatusUnauthorized)
	case errors.Is(err, errProvider):
		slog.ErrorContext(r.Context(), "oauth", "error", err)
		http.Error(w, errProvider.Error(), http.StatusBadGateway)
	default:
		o.web.Error(w, r, err)
	}
}

// finish signs in, or links, whoever the provider says it is.
func (o *oauth) finish(w http.ResponseWriter, r *http.Request, f flow) error {
	who, err := o.identify(r, f.verifier)
	if err != nil {
		return err
	}
	key := gormkey.Proved(o.provider, who.Subject) // never the address
	if f.linkTo != "" {
		return o.linkTo(w, r, f.linkTo, key)
	}
	_, err = o.auth.GetKey(r.Context(), key.KeyID())
	if errors.Is(err, gormkey.ErrKeyNotFound) {
		err = o.register(r.Context(), key, who)
	}
	if err != nil && !errors.Is(err, gormkey.ErrDuplicateKey) { // another request was faster
		return err
	}
	_, err = o.web.SignIn(w, r, key) // ends the session that the browser came with
	return err
}

// linkTo adds a key to the account of the session that asked for it, if that is still the
// browser's. A key that is another account's stays there.
//
// An application that resets passwords by mail must also ask here whether the account's address is
// verified: whoever signed up with another's address would keep this key after the reset.
func (o *oauth) linkTo(w http.ResponseWriter, r *http.Request, sessionID string, key gormkey.Credentials) error {
	session, err := o.web.Validate(w, r)
	if err != nil {
		return err
	}
	if session.ID.String() != sessionID {
		return errState
	}
	_, err = o.auth.AddKey(r.Context(), session.UserID, key)
	if errors.Is(err, gormkey.ErrDuplicateKey) {
		if known, getErr := o.auth.GetKey(r.Context(), key.KeyID()); getErr == nil && known.UserID == session.UserID {
			return nil
		}
	}
	return err
}

// register gives somebody whom the provider sends for the first time an account: one that has
// proven the same address, or else a new one.
//
// Both sides must have proven it. If the account has not, an attacker may have made it with
// the victim's address and waits in it; if the provider has not, the attacker may have typed the
// victim's address there. Believe only providers that do check, and do not give an address to
// anybody else: of two subjects of one provider the second is not linked.
func (o *oauth) register(ctx context.Context, key gormkey.Credentials, who identity) error {
	account := &Account{Email: who.Email}
	email := gormkey.FoldEmail(who.Email)
	if email != "" && who.EmailVerified == true {
		owner, err := o.owner(ctx, email)
		if err != nil {
			return err
		}
		if owner == nil {
			account.VerifiedEmail = &email
		} else if has, err := o.hasKey(ctx, owner.ID); err != nil {
			return err
		} else if !has {
			_, err := o.auth.AddKey(ctx, owner.ID, key)
			return err
		}
	}
	return o.auth.CreateUser(ctx, account, key)
}

// owner returns the account that has proven an address, nil for none.
func (o *oauth) owner(ctx context.Context, email string) (*Account, error) {
	var found []Account
	err := o.db.WithContext(ctx).Where("verified_email = ?", email).Limit(1).Find(&found).Error
	if err != nil || len(found) == 0 || *found[0].VerifiedEmail != email { // some collations find josé for jose
		return nil, err
	}
	return &found[0], nil
}

// hasKey tells whether an account has a key of the provider.
func (o *oauth) hasKey(ctx context.Context, userID string) (bool, error) {
	keys, err := o.auth.UserKeys(ctx, userID)
	for _, key := range keys {
		if key.KeyID().Provider == o.provider {
			return true, nil
		}
	}
	return false, err
}

// identity is what the provider says of somebody. The subject alone names them.
type identity struct {
	Subject       string `json:"sub"`
	Email         string `json:"email"`
	EmailVerified any    `json:"email_verified"` // believed if it is true, and not if "true"
}

// identify changes the code of the callback for an access token, and asks with that who it is.
// The answer comes from the provider itself, over TLS, so that no ID token needs to be verified.
func (o *oauth) identify(r *http.Request, verifier string) (who identity, err error) {
	query := r.URL.Query()
	if query.Get("error") != "" || query.Get("code") == "" {
		return who, fmt.Errorf("%w: %.80q", errDenied, query.Get("error"))
	}
	ctx := context.WithValue(r.Context(), oauth2.HTTPClient, o.client)
	token, err := o.config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == "invalid_grant": // used, expired, or another browser's
		return who, fmt.Errorf("%w: %s", errDenied, refused.ErrorCode)
	case errors.As(err, &refused): // whose text would hold the body
		return who, fmt.Errorf("%w: code: %s %.80q", errProvider, refused.Response.Status, refused.ErrorCode)
	case err != nil:
		return who, fmt.Errorf("%w: code: %w", errProvider, err)
	}
	if err := getJSON(ctx, o.config.Client(ctx, token), o.userinfo, &who); err != nil {
		return who, fmt.Errorf("%w: user: %w", errProvider, err)
	}
	if who.Subject == "" {
		return who, fmt.Errorf("%w: user: no subject", errProvider)
	}
	return who, nil
}

// flow is what a browser keeps while its user is at the provider.
type flow struct{ state, verifier, linkTo string }

const (
	flowCookie   = "__Host-oauth" // a subdomain cannot plant one of this prefix
	flowLifetime = 10 * time.Minute
)

// cookie is sent back with the provider's redirect, which is a navigation by GET from another
// site: with SameSite=Strict it would not be, and with Lax not with a POST (response_mode=form_post).
func (f flow) cookie() *http.Cookie {
	return &http.Cookie{
		Name: flowCookie, Value: f.state + "." + f.verifier + "." + f.linkTo, MaxAge: int(flowLifetime.Seconds()),
		Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func noFlow() *http.Cookie {
	c := flow{}.cookie()
	c.Value, c.MaxAge = "", -1
	return c
}

// readFlow returns what cookie made. A browser has one at a time.
func readFlow(r *http.Request) (f flow, ok bool) {
	cookies := r.CookiesNamed(flowCookie)
	if len(cookies) != 1 {
		return f, false
	}
	parts := strings.SplitN(cookies[0].Value, ".", 3)
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return f, false
	}
	return flow{parts[0], parts[1], parts[2]}, true
}
