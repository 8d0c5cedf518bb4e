package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

// client is the application, as the provider knows it.
type client struct{ issuer, id, secret, callback string }

// newOAuth asks the issuer where its endpoints are (OpenID Connect Discovery).
func newOAuth(ctx context.Context, c client, db *gorm.DB, auth *gormkey.Repository[Account], web *httpauth.Auth[Account, gormkey.Session[Account]]) (*oauth, error) {
	o := &oauth{
		db: db, auth: auth, web: web,
		provider: providerOf(c.issuer),
		client:   &http.Client{Timeout: 10 * time.Second},
	}
	var found struct {
		Issuer   string   `json:"issuer"`
		Auth     string   `json:"authorization_endpoint"`
		Token    string   `json:"token_endpoint"`
		Userinfo string   `json:"userinfo_endpoint"`
		Methods  []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := getJSON(ctx, o.client, strings.TrimSuffix(c.issuer, "/")+"/.well-known/openid-configuration", &found); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	if found.Issuer != c.issuer || found.Auth == "" || found.Token == "" || found.Userinfo == "" {
		return nil, fmt.Errorf("discovery: %q is not what %q says of itself, or lacks an endpoint", c.issuer, found.Issuer)
	}
	style := oauth2.AuthStyleInHeader
	if len(found.Methods) > 0 && !slices.Contains(found.Methods, "client_secret_basic") {
		style = oauth2.AuthStyleInParams
	}
	o.userinfo = found.Userinfo
	o.config = oauth2.Config{
		ClientID: c.id, ClientSecret: c.secret, RedirectURL: c.callback,
		Scopes:   []string{"openid", "email"},
		Endpoint: oauth2.Endpoint{AuthURL: found.Auth, TokenURL: found.Token, AuthStyle: style},
	}
	return o, nil
}

// providerOf makes a key's provider of an issuer: subjects of two issuers are two people, on
// one host too.
func providerOf(issuer string) string {
	_, name, _ := strings.Cut(strings.TrimSuffix(issuer, "/"), "://")
	return strings.NewReplacer("/", "_", ":", "-").Replace(name)
}

// getJSON reads an answer of the provider's.
func getJSON(ctx context.Context, client *http.Client, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(into)
}
