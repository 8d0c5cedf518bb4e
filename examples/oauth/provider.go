package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// provider is an OpenID Connect provider for this machine and the tests: it lets everybody be
// whom they say. Of a client it asks what a good one asks: a state, PKCE with S256, its
// secret, the exact callback, and each code once, within a minute.
type provider struct {
	client client
	mu     sync.Mutex
	grants map[string]grant    // by code
	tokens map[string]identity // by access token
}

type grant struct {
	identity
	challenge string
	expires   time.Time
}

func newProvider(c client) http.Handler {
	p := &provider{client: c, grants: map[string]grant{}, tokens: map[string]identity{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.configuration)
	mux.HandleFunc("GET /authorize", p.ask)
	mux.HandleFunc("POST /authorize", p.answer)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userinfo)
	return mux
}

func (p *provider) configuration(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, http.StatusOK, map[string]any{
		"issuer":                                p.client.issuer,
		"authorization_endpoint":                p.client.issuer + "/authorize",
		"token_endpoint":                        p.client.issuer + "/token",
		"userinfo_endpoint":                     p.client.issuer + "/userinfo",
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
	})
}

var consent = template.Must(template.New("consent").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Provider</title>
<style>:root { color-scheme: light dark; font: 1rem/1.6 system-ui } body { max-width: 30rem; margin: 3rem auto; padding: 0 1rem }</style>
<main><h1>Who are you?</h1><p>This provider runs on your machine and believes everything.</p>
<form method="post">
<p><label>Subject<br><input name="sub" value="ada" required></label>
<p><label>Email address<br><input name="email" value="ada@example.com"></label>
<p><label><input type="checkbox" name="email_verified" checked> The address is verified</label>
<p><button>Sign in</button> <button name="deny" value="yes">Deny</button>
</form></main></html>`))

// check refuses what a good client does not send. Nothing is sent to a callback that is not
// the client's.
func (p *provider) check(w http.ResponseWriter, q url.Values) bool {
	ok := q.Get("client_id") == p.client.id && q.Get("redirect_uri") == p.client.callback && q.Get("response_type") == "code" &&
		len(q.Get("state")) >= 22 && q.Get("code_challenge_method") == "S256" && len(q.Get("code_challenge")) == 43
	if !ok {
		http.Error(w, "client_id, redirect_uri, response_type, state or code_challenge is wrong", http.StatusBadRequest)
	}
	return ok
}

func (p *provider) ask(w http.ResponseWriter, r *http.Request) {
	if p.check(w, r.URL.Query()) {
		_ = consent.Execute(w, nil)
	}
}

func (p *provider) answer(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !p.check(w, q) {
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	if r.PostFormValue("deny") != "" {
		back.Set("error", "access_denied")
	} else {
		code := rand.Text()
		who := identity{r.PostFormValue("sub"), r.PostFormValue("email"), r.PostFormValue("email_verified") == "on"}
		p.mu.Lock()
		p.grants[code] = grant{who, q.Get("code_challenge"), time.Now().Add(time.Minute)}
		p.mu.Unlock()
		back.Set("code", code)
	}
	http.Redirect(w, r, p.client.callback+"?"+back.Encode(), http.StatusSeeOther)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if plain, err := url.QueryUnescape(secret); err == nil { // RFC 6749, 2.3.1
		secret = plain
	}
	if id != p.client.id || subtle.ConstantTimeCompare([]byte(secret), []byte(p.client.secret)) != 1 {
		sendJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	code := r.PostFormValue("code")
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.grants[code]
	delete(p.grants, code) // used up, also by a wrong verifier
	if !ok || time.Now().After(g.expires) || r.PostFormValue("grant_type") != "authorization_code" ||
		r.PostFormValue("redirect_uri") != p.client.callback ||
		oauth2.S256ChallengeFromVerifier(r.PostFormValue("code_verifier")) != g.challenge {
		sendJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	token := rand.Text()
	p.tokens[token] = g.identity
	sendJSON(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 60})
}

func (p *provider) userinfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := p.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !ok {
		sendJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	sendJSON(w, http.StatusOK, who)
}

func sendJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
