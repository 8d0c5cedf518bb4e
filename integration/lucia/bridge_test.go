package lucia_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Rows of the tests, and what they are with another value.
const (
	ada      = `{"id":"ada_zz9","username":"Ada"}`
	grace    = `{"id":"grace_zz9","username":null}`
	adasKey  = `{"id":"key_zz9","user_id":"ada_zz9","hashed_password":null}`
	adasKey2 = `{"id":"key2_zz9","user_id":"ada_zz9","hashed_password":"s2:zz9:ab"}`
	adasOpen = `{"id":"at_zz9","user_id":"ada_zz9","active_expires":1795522416847,"idle_expires":1795522416848,"country":"XX"}`
	nobodys  = `{"id":"at_zz9b","user_id":"nobody_zz9","active_expires":0,"idle_expires":253402300799999,"country":null}`
)

// Every method of Lucia's Adapter, on every schema that Lucia documents.
func TestBridgeMethods(t *testing.T) {
	for _, s := range schemas {
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			c := openBridge(t, s, s.newDatabase(t))
			testUsers(c)
			testKeys(c, s)
			testSessions(c, s)
			testDeletes(c, s)
		})
	}
}

func testUsers(c *client) {
	c.t.Helper()
	c.want(`null`, "getUser", `"ada_zz9"`)
	c.want(`null`, "setUser", ada, `null`)
	c.want(ada, "getUser", `"ada_zz9"`)
	c.want(`null`, "getUser", `"ADA_zz9"`)
	c.want(`null`, "getUser", `"ada_zz9 "`)
	c.want(`null`, "getUser", `""`)
	c.want(`DATABASE`, "setUser", ada, `null`)
	c.want(`DATABASE`, "setUser", ada, `{"id":"new_zz9","user_id":"ada_zz9","hashed_password":null}`)
	c.want(`null`, "getKey", `"new_zz9"`)

	c.want(`null`, "updateUser", `"ada_zz9"`, `{"username":"Countess"}`)
	c.want(`null`, "updateUser", `"ADA_zz9"`, `{"username":"other"}`)
	c.want(`null`, "updateUser", `"nobody_zz9"`, `{"username":"other"}`)
	c.want(`null`, "updateUser", `"ada_zz9"`, `{}`)
	c.want(`{"id":"ada_zz9","username":"Countess"}`, "getUser", `"ada_zz9"`)
	c.want(`null`, "updateUser", `"ada_zz9"`, `{"username":null}`)
	c.want(`{"id":"ada_zz9","username":null}`, "getUser", `"ada_zz9"`)
	c.want(`null`, "updateUser", `"ada_zz9"`, `{"id":"lovelace_zz9","username":"Ada"}`)
	c.want(`null`, "updateUser", `"lovelace_zz9"`, `{"id":"ada_zz9"}`)
	c.want(ada, "getUser", `"ada_zz9"`)
}

func testKeys(c *client, s schema) {
	c.t.Helper()
	c.want(`null`, "setUser", grace, `{"id":"key3_zz9","user_id":"grace_zz9","hashed_password":"x"}`)
	c.want(grace, "getUser", `"grace_zz9"`)
	c.want(`null`, "deleteKey", `"KEY3_zz9"`)
	c.want(`{"id":"key3_zz9","user_id":"grace_zz9","hashed_password":"x"}`, "getKey", `"key3_zz9"`)
	c.want(`AUTH_DUPLICATE_KEY_ID`, "setUser", `{"id":"new_zz9","username":"x"}`, `{"id":"key3_zz9","user_id":"new_zz9","hashed_password":null}`)
	c.want(`null`, "getUser", `"new_zz9"`)
	c.want(`null`, "deleteKeysByUserId", `"GRACE_zz9"`)
	c.want(`null`, "deleteKey", `"nothing_zz9"`)
	c.want(`null`, "deleteKey", `"key3_zz9"`)

	c.want(`null`, "setKey", adasKey)
	c.want(`AUTH_DUPLICATE_KEY_ID`, "setKey", adasKey)
	c.want(adasKey, "getKey", `"key_zz9"`)
	c.want(`null`, "getKey", `"kéy_zz9"`)
	c.want(`[`+adasKey+`]`, "getKeysByUserId", `"ada_zz9"`)
	c.want(`[]`, "getKeysByUserId", `"Ada_zz9"`)
	c.want(`null`, "updateKey", `"key_zz9"`, `{"hashed_password":"s2:zz9:ab"}`)
	c.want(`{"id":"key_zz9","user_id":"ada_zz9","hashed_password":"s2:zz9:ab"}`, "getKey", `"key_zz9"`)
	c.want(`null`, "updateKey", `"key_zz9"`, `{"hashed_password":null}`)
	c.want(adasKey, "getKey", `"key_zz9"`)
	c.want(`null`, "updateKey", `"key_zz9"`, `{"user_id":"grace_zz9"}`)
	c.want(`[]`, "getKeysByUserId", `"ada_zz9"`)
	c.want(`null`, "updateKey", `"key_zz9"`, `{"user_id":"ada_zz9"}`)
	c.want(`null`, "setKey", adasKey2)
	c.want(`null`, "deleteKey", `"key2_zz9"`)
	if !s.noForeignKeys {
		c.want(`AUTH_INVALID_USER_ID`, "setKey", `{"id":"key4_zz9","user_id":"nobody_zz9","hashed_password":null}`)
	}
	c.want(`null`, "getKey", `"key4_zz9"`)
	// MySQL's foreign key takes ADA for ada.
	c.want(`AUTH_INVALID_USER_ID`, "setKey", `{"id":"key4_zz9","user_id":"ADA_zz9","hashed_password":null}`)
	c.want(`null`, "getKey", `"key4_zz9"`)
}

func testSessions(c *client, s schema) {
	c.t.Helper()
	c.want(`null`, "getSession", `"at_zz9"`)
	c.want(`[null,null]`, "getSessionAndUser", `"at_zz9"`)
	c.want(`null`, "setSession", adasOpen)
	c.want(`DATABASE`, "setSession", adasOpen)
	c.want(adasOpen, "getSession", `"at_zz9"`)
	c.want(`null`, "getSession", `"AT_zz9"`)
	c.want(`[`+adasOpen+`]`, "getSessionsByUserId", `"ada_zz9"`)
	c.want(`[]`, "getSessionsByUserId", `"grace_zz9"`)
	c.want(`[`+adasOpen+`,`+ada+`]`, "getSessionAndUser", `"at_zz9"`)
	c.want(`[null,null]`, "getSessionAndUser", `"AT_zz9"`)
	c.want(`null`, "updateSession", `"at_zz9"`, `{"active_expires":0,"idle_expires":253402300799999,"country":null}`)
	c.want(`null`, "updateSession", `"at_zz9 "`, `{"country":"YY"}`)
	c.want(`{"id":"at_zz9","user_id":"ada_zz9","active_expires":0,"idle_expires":253402300799999,"country":null}`, "getSession", `"at_zz9"`)
	if s.noForeignKeys {
		c.want(`null`, "setSession", nobodys)
		c.want(nobodys, "getSession", `"at_zz9b"`)
		c.want(`[null,null]`, "getSessionAndUser", `"at_zz9b"`)
		c.want(`null`, "deleteSessionsByUserId", `"nobody_zz9"`)
	} else {
		c.want(`AUTH_INVALID_USER_ID`, "setSession", nobodys)
	}
	c.want(`null`, "getSession", `"at_zz9b"`)
}

func testDeletes(c *client, s schema) {
	c.t.Helper()
	c.want(`null`, "deleteUser", `"nobody_zz9"`)
	c.want(`null`, "deleteUser", `"ADA_zz9"`)
	if !s.noForeignKeys && !s.cascade { // the adapter sends one DELETE, and no more
		c.want(`DATABASE`, "deleteUser", `"ada_zz9"`)
		c.want(ada, "getUser", `"ada_zz9"`)
		c.want(`null`, "deleteSession", `"AT_zz9"`)
		c.want(`null`, "deleteSessionsByUserId", `"ADA_zz9"`)
		c.want(`[`+adasKey+`]`, "getKeysByUserId", `"ada_zz9"`)
		c.want(`null`, "deleteSession", `"at_zz9"`)
		c.want(`null`, "deleteKeysByUserId", `"ada_zz9"`)
	}
	c.want(`null`, "deleteUser", `"ada_zz9"`)
	c.want(`null`, "getUser", `"ada_zz9"`)
	c.want(grace, "getUser", `"grace_zz9"`)
	if s.noForeignKeys {
		c.want(`[`+adasKey+`]`, "getKeysByUserId", `"ada_zz9"`)
	} else {
		c.want(`[]`, "getKeysByUserId", `"ada_zz9"`)
		c.want(`[]`, "getSessionsByUserId", `"ada_zz9"`)
	}
}

// What is wrong with an argument is told before any statement is sent.
func TestBridgeArguments(t *testing.T) {
	s := engines[0]
	c := openBridge(t, s, s.newDatabase(t))
	row := func(old, new string) string { return strings.Replace(adasOpen, old, new, 1) }
	for _, call := range [][]string{
		{"getUser", `1`}, {"getUser", `null`}, {"getUser", `["zz9"]`}, {"getUser", `{"id":1}`}, {"getUser", `"zz9\u0000"`},
		{"getUser"}, {"getUser", `"zz9"`, `"zz9"`}, {"getKeysByUserId", `true`}, {"getSessionAndUser", `7`},
		{"deleteUser", `7`}, {"deleteSessionsByUserId", `null`}, {"updateUser", `7`, `{}`}, {"updateUser", `"zz9"`},
		{"updateUser", `"zz9"`, `null`}, {"updateUser", `"zz9"`, `[]`}, {"updateUser", `"zz9"`, `"zz9"`},
		{"updateUser", `"zz9"`, `{"zz9":1}`}, {"updateUser", `"zz9"`, `{"Username":"zz9"}`},
		{"updateUser", `"zz9"`, "{\"username` = 'zz9', `id\":\"x\"}"}, {"updateUser", `"zz9"`, `{"username":1}`},
		{"updateUser", `"zz9"`, `{"id":null}`}, {"updateUser", `"zz9"`, `{"id":""}`}, {"updateKey", `"zz9"`, `{"country":"zz9"}`},
		{"updateSession", `"zz9"`, `{"absolute_expires":1}`}, {"updateSession", `"zz9"`, `{"idle_expires":"1"}`},
		{"updateSession", `"zz9"`, `{"idle_expires":null}`}, {"updateSession", `"zz9"`, `{"idle_expires":1.5}`},
		{"setUser", ada}, {"setUser", `null`, `null`}, {"setUser", `{"id":"zz9"}`, `null`}, {"setUser", `{"id":"","username":null}`, `null`},
		{"setUser", ada, `{}`}, {"setUser", ada, `false`}, {"setUser", `{"id":"zz9","username":null,"role":"admin"}`, `null`},
		{"setKey", `null`}, {"setKey", ada}, {"setKey", `{"id":"zz9","user_id":1,"hashed_password":null}`},
		{"setSession", row("1795522416847", "-1")}, {"setSession", row("1795522416847", "253402300800000")},
		{"setSession", row("1795522416847", "1e99")}, {"setSession", row("1795522416847", `"1795522416847"`)},
		{"setSession", row(`,"country":"XX"`, ``)},
	} {
		c.want(`INVALID_ARGUMENT`, call[0], call[1:]...)
	}
	c.want(`null`, "getUser", `"ada_zz9"`)
	c.want(`null`, "getUser", `"x' OR '1'='1"`)
}

// Answers say what they answer as far as it can be told, and the bridge goes on.
func TestBridgeMalformed(t *testing.T) {
	s := engines[0]
	c := openBridge(t, s, s.newDatabase(t))
	for _, test := range []struct{ line, id string }{
		{`zz9`, `null`}, {`{"id":1000`, `null`}, {`[]`, `null`}, {`null`, `null`}, {`1000`, `null`}, {`{}`, `null`},
		{`{"id":{},"method":"getUser","args":["zz9"]}`, `null`}, {`{"id":null,"method":"getUser","args":["zz9"]}`, `null`},
		{`{"method":"getUser","args":["zz9"]}`, `null`}, {`{"id":1000,"method":"getUser","args":["` + "\xff" + `"]}`, `null`},
		{`{"id":1000,"method":"getUser","args":["zz9"]} {}`, `null`}, {strings.Repeat("[", 1<<19), `null`}, {strings.Repeat("zz9", 1<<20), `null`},
		{`{"id":1000}`, `1000`}, {`{"id":"a\u0062","method":"zz9","args":[]}`, `"a\u0062"`}, {`{"id":1000,"method":"getuser","args":["zz9"]}`, `1000`},
		{`{"id":1000,"method":7}`, `1000`}, {`{"id":1000,"method":"getUser","args":"zz9"}`, `1000`}, {`{"id":1000,"method":"getUser","args":{}}`, `1000`},
		{`{"id":1000,"method":"hello","args":[{"protocol":1}]}`, `1000`},
	} {
		c.write(test.line)
		a := c.receiveFrom(c.anyID)
		if a.String() != "INVALID_REQUEST" || string(a.ID) != test.id {
			t.Errorf("%.80q: the answer to %s is %v, not to %s", test.line, a.ID, a, test.id)
		}
	}
	c.write("\n \r")
	c.write(`{"id":1001,"method":"getUser","args":["zz9"],"zz9":1}` + "\r")
	if a := c.receiveFrom(c.anyID); a.String() != "null" || string(a.ID) != "1001" {
		t.Errorf("the answer to %s is %v", a.ID, a)
	}
}

// hello comes first, and decides the tables.
func TestBridgeHello(t *testing.T) {
	s := schemas[0]
	db := s.newDatabase(t)
	c := startBridge(t, "--dsn", db.url, "--tables", "user=missing,key=user_key")
	c.want(`INVALID_REQUEST`, "getUser", `"zz9"`)
	for _, wrong := range []string{``, `null`, `7`, `{}`, `{"protocol":2}`, `{"protocol":1,"tables":{"role":"x"}}`, `{"protocol":1,"tables":{"user":""}}`} {
		c.want(`INVALID_ARGUMENT`, "hello", wrong)
	}
	c.want(`{"capabilities":{"getSessionAndUser":true},"name":"gormkey","protocol":1}`, "hello", `{"protocol":1,"tables":{"user":"user"}}`)
	c.want(`null`, "setUser", ada, `null`)
	c.want(ada, "getUser", `"ada_zz9"`)

	c = startBridge(t, "--dsn", db.url)
	c.write(`{"id":"x","method":"hello","params":{"protocol":1,"tables":{"user":"missing"}}}`)
	if a := c.receiveFrom(c.anyID); a.Error != nil {
		t.Errorf("hello by params: %+v", *a.Error)
	}
	c.want(`DATABASE`, "getUser", `"zz9"`)

	c = startBridge(t, "--dsn", "sqlite:"+filepath.Join(t.TempDir(), "missing_zz9"))
	c.want(`DATABASE`, "hello", `{"protocol":1}`)
	c.want(`DATABASE`, "getUser", `"zz9"`)
	for _, dsn := range []string{"oracle://zz9", "://zz9", "zz9"} {
		startBridge(t, "--dsn", dsn).want(`INVALID_ARGUMENT`, "hello", `{"protocol":1}`)
	}
	c = startBridge(t, "--dsn", db.url)
	c.want(`INVALID_ARGUMENT`, "hello", `{"protocol":1,"tables":{"key":"a\"b"}}`)

	for _, flags := range [][]string{{}, {"--dsn", db.url, "more"}, {"--dsn", db.url, "--tables", "user"}, {"--dsn", db.url, "--tables", "role=x"}} {
		if err := exec.Command(bridgePath, flags...).Run(); err == nil || err.Error() != "exit status 2" {
			t.Errorf("with %q it ended with %v", flags, err)
		}
	}
}
