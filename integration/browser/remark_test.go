package browser_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// nameless is how Chromium begins what it says of a form that has a password and no username.
const nameless = "[DOM] Password forms should have (optionally hidden) username fields"

// askForm asks the form that Chromium calls nameless, since it may be wrong. It looks at a page
// more than once, the first time perhaps before the page is parsed to its end, and compares only
// the fields that are new to it. A form whose username it knows from then, and a password does
// not, is nameless to it.
//
// The answer is "" if the form has a username before its first password, to be typed or with a
// value. Otherwise it is the form, or why it cannot be asked.
func askForm(ctx context.Context, args []*runtime.RemoteObject) (answer string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, arg := range args {
		if arg.ClassName != "HTMLFormElement" {
			continue
		}
		err := chromedp.Run(ctx, chromedp.CallFunctionOn(`function() {
			const inputs = [...this.elements].filter(e => e.matches("input"));
			const password = inputs.findIndex(e => e.matches("[autocomplete$=-password]"));
			return inputs.slice(0, Math.max(password, 0)).some(e => e.matches("[autocomplete=username]") && (!e.hidden || e.value)) ? "" : this.outerHTML;
		}`, &answer, func(p *runtime.CallFunctionOnParams) *runtime.CallFunctionOnParams {
			return p.WithObjectID(arg.ObjectID)
		}))
		if err != nil {
			return "the form cannot be asked: " + err.Error()
		}
		return answer
	}
	return "no form is named"
}

// torn is the site behind a proxy that stops for a moment within each page that has a mark, as a
// busy machine does.
func (s *site) torn(t *testing.T, mark string) *site {
	t.Helper()
	behind, err := url.Parse(s.url)
	must(t, err)
	server := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(behind); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			page, err := io.ReadAll(r.Body)
			head, tail, found := bytes.Cut(page, []byte(mark))
			if !found {
				r.Body = io.NopCloser(bytes.NewReader(page))
				return err
			}
			out, in := io.Pipe()
			r.Body = out
			go func() {
				_, _ = in.Write(head)
				time.Sleep(400 * time.Millisecond)
				_, _ = in.Write(append([]byte(mark), tail...))
				_ = in.Close()
			}()
			return err
		},
	})
	t.Cleanup(server.Close)
	return &site{strings.Replace(server.URL, "127.0.0.1", "localhost", 1), s.file}
}

// TestNamelessForms: a form without a username is a fault, and one that Chromium saw in parts is
// not. The form to change the password comes back with the focus in the first of its two
// passwords, and that is when Chromium looks, though the second is still on its way.
func TestNamelessForms(t *testing.T) {
	t.Parallel()
	ada := start(t).torn(t, `<label for="new">`).visit(t)
	ada.signUp("ada@example.com")
	ada.open("/account/password")
	ada.do(fill(in("/account/password", chosen), "a new password"))
	ada.submit(click(in("/account/password", button)))
	ada.waitFocus("current")
	for _, fault := range ada.faults() {
		t.Errorf("of a form with a username: %s", fault)
	}
	for i, form := range []string{
		`<input type="password" autocomplete="new-password">`,
		`<input type="password" autocomplete="new-password"><input hidden type="text" autocomplete="username" value="ada@example.com">`,
	} {
		ada.do(chromedp.Evaluate(`document.querySelector("main").insertAdjacentHTML("beforeend", `+strconv.Quote("<form>"+form+"</form>")+`)`, nil))
		var faults []string
		for end := time.Now().Add(patience); len(faults) == 0; faults = ada.faults() {
			if time.Now().After(end) {
				t.Fatalf("form %d is no fault", i+1)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if len(faults) != 1 || !strings.Contains(faults[0], nameless) || !strings.Contains(faults[0], "<form>"+strings.Split(form, ">")[0]) {
			t.Errorf("form %d: got %q", i+1, faults)
		}
	}
}
