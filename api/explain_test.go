package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"weir/api"
	"weir/policy"
	"weir/shield"
)

// explainer explains with a shield without a store, whose origin does not exist.
func explainer(t *testing.T, routes string) *api.Explainer {
	t.Helper()
	table, err := policy.Compile("policy.json", []byte(`{"origins": {"o": {"url": "http://127.0.0.1:1"}}, "routes": [`+routes+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	purges, err := shield.NewPurges(nil)
	if err != nil {
		t.Fatal(err)
	}
	below := shield.New(nil, purges, shield.Options{})
	t.Cleanup(func() {
		if err := below.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return api.NewExplainer(api.NewDoor(below, func() *policy.Table { return table }, api.DoorOptions{}), nil, below, nil)
}

func explainOptions(t *testing.T) api.AdminOptions {
	opts := adminOptions()
	opts.Explain = explainer(t, `{"name": "off", "match": {"path": "/off/*", "methods": ["GET", "PURGE"]}, "edge": false}`).Explain
	return opts
}

func TestExplainRoute(t *testing.T) {
	opts := explainOptions(t)
	resp := call(t, opts, "GET /v1/explain?url=http://shop.test/off/a%3Fb&header=Cookie:+a=b&header=X-A:1")
	var x api.Explanation
	if err := json.Unmarshal([]byte(bodyOf(t, resp)), &x); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode, err)
	}
	if x.Route.Name != "off" || x.Now.CachingStatus != "disabled" || x.Now.XCache != "bypass" || x.Now.Known || strings.Join(x.Request.Headers, " ") != "Cookie X-A" {
		t.Errorf("%+v %+v %+v", x.Request, x.Route, x.Now)
	}
	if resp := call(t, opts, "HEAD /v1/explain?url=http://shop.test/"); resp.StatusCode != 200 {
		t.Errorf("HEAD: %d", resp.StatusCode)
	}
	if resp := call(t, adminOptions(), "GET /v1/explain?url=http://shop.test/"); resp.StatusCode != 404 {
		t.Errorf("without an explainer: %d", resp.StatusCode)
	}
}

// What cannot be explained is refused with what would be right, and without repeating what may be a secret.
func TestExplainRefuses(t *testing.T) {
	opts := explainOptions(t)
	core, logs := observer.New(zap.DebugLevel)
	opts.Log = zap.New(core)
	for _, c := range []struct{ query, code, message, hint string }{
		{"", "bad-explain", "There is no url.", "Add ?url=http://HOST/PATH."},
		{"url=/a", "bad-explain", "The URL is not absolute.", "Write http://HOST/PATH or https://HOST/PATH."},
		{"url=ftp://shop.test/", "bad-explain", "The URL is not absolute.", "Write http://HOST/PATH or https://HOST/PATH."},
		{"url=http:///a", "bad-explain", "The request target has an empty host.", ""},
		{"url=http://u:p@shop.test/", "bad-explain", "The URL has a user.", "Leave out what stands before the host."},
		{"url=http://shop.test/%23a", "bad-explain", "The request target has a fragment.", ""},
		{"url=http://shop.test/&url=http://shop.test/", "bad-explain", `"url" stands twice.`, "Give it once."},
		{"url=http://shop.test/&header=secret", "bad-explain", "Header 1 has no colon.", "Write 'name: value'."},
		{"url=http://shop.test/&header=A:b&header=secret+x:y", "bad-explain", "The name of header 2 is no name.", "Write 'name: value'."},
		{"url=http://shop.test/&header=A:secret%00", "bad-explain", "The value of header 1, A, has a control byte.", ""},
		{"url=http://shop.test/&header=Content-Length:1", "bad-explain", "Content-Length is not for you to give.", "It follows from the content."},
		{"url=http://shop.test/&method=G+T", "bad-explain", `"G T" is no method.`, ""},
		{"url=http://shop.test/&method=get", "bad-explain", `No route names the method "get", and it is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY, TRACE, CONNECT.`, ""},
		{"url=http://shop.test/&fetch=maybe", "bad-explain", `Fetch is "maybe".`, "It is 1 or 0."},
		{"url=http://shop.test/&secret=1", "bad-explain", `"secret" is no parameter.`, "There are url, method, header, body and fetch."},
		{"url=%zz", "bad-explain", "The query is malformed.", "Percent-encode url and header."},
		{"url=http://shop.test/&method=PUT&fetch=1", "unsafe", "The request may change things at the origin, so it is not sent to explain it.", "Leave fetch out, or explain a GET."},
	} {
		resp := call(t, opts, "GET /v1/explain?"+c.query)
		var got struct{ Error api.ErrorText }
		if err := json.Unmarshal([]byte(bodyOf(t, resp)), &got); err != nil {
			t.Fatal(err)
		}
		e := got.Error
		if resp.StatusCode != 400 || e.Code != c.code || e.Message != c.message || c.hint != "" && e.Hint != c.hint {
			t.Errorf("%s: %d %+v", c.query, resp.StatusCode, e)
		}
		if strings.Contains(e.Message+e.Hint, "secret") && !strings.Contains(c.query, "secret=1") {
			t.Errorf("%s: it is repeated: %+v", c.query, e)
		}
	}
	for _, entry := range logs.All() {
		if strings.Contains(entry.Message, "secret") || strings.Contains(entry.ContextMap()["path"].(string), "secret") {
			t.Errorf("logged: %v", entry)
		}
	}
	if resp := call(t, opts, "GET /v1/explain?url=http://shop.test/off/&method=PURGE"); resp.StatusCode != 200 {
		t.Errorf("a method that a route names: %d", resp.StatusCode)
	}
}

func TestExplainIsGuarded(t *testing.T) {
	const ask = "GET /v1/explain?url=http://shop.test/"
	opts := explainOptions(t)
	if resp := call(t, opts, ask, "Host: evil.test"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("under another name: %d", resp.StatusCode)
	}
	opts.Token = "t"
	if resp := call(t, opts, ask); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %d", resp.StatusCode)
	}
	if resp := call(t, opts, ask, "Authorization: Bearer t"); resp.StatusCode != http.StatusOK {
		t.Errorf("with the token: %d", resp.StatusCode)
	}
}

// Every rule that can be in the way has advice.
func TestExplainAdvises(t *testing.T) {
	e := explainer(t, `{"name": "named", "match": {"path": "/named", "methods": ["POST"]}, "edge": {"maxAgeSeconds": 1}}, {"name": "gq", "match": {"path": "/g", "methods": ["POST"]}, "graphql": true, "edge": {"maxAgeSeconds": 1}},
		{"name": "elsewhere", "match": {"path": "/elsewhere"}, "regions": ["moon"]}, {"name": "off", "match": {"path": "/off/*"}, "edge": false}`)
	for _, c := range []struct {
		q    api.Question
		want string // of the one rule that holds
	}{
		{api.Question{URL: "http://shop.test/x/..%2foff/"}, "ambiguous-path"},
		{api.Question{URL: "http://shop.test/", Header: []string{"Connection: Upgrade", "Upgrade: websocket"}}, "upgrade"},
		{api.Question{URL: "http://shop.test/off/"}, "edge-false"},
		{api.Question{URL: "http://shop.test/", Header: []string{"X-Cache-Debug: 1"}}, "debug"},
		{api.Question{URL: "http://shop.test/", Method: "PUT"}, "method"},
		{api.Question{URL: "http://shop.test/elsewhere"}, "region"},
		{api.Question{URL: "http://shop.test/", Body: "a"}, "content"},
		{api.Question{URL: "http://shop.test/named", Method: "POST", Body: strings.Repeat("a", 8001)}, "body-too-big"},
		{api.Question{URL: "http://shop.test/g", Method: "POST", Body: "mutation"}, "graphql"},
	} {
		x, err := e.Explain(t.Context(), c.q)
		if err != nil {
			t.Fatal(err)
		}
		last := x.Admission[len(x.Admission)-1]
		if !last.Holds || last.Rule != c.want || len(x.Advice) != 1 || x.Key != nil {
			t.Errorf("%s: %+v, advice %q", c.want, x.Admission, x.Advice)
		}
	}
}

// FuzzExplain: nothing that can be asked panics, and what is accepted has an answer.
func FuzzExplain(f *testing.F) {
	f.Add("url=http://shop.test/a%3Fb%3D1&header=Cookie:+a&method=GET")
	f.Add("url=https://shop.test:444/g&method=POST&body=%7B%7D&header=Host:+x")
	f.Add("url=http://[::1]/%25%32%66&header=:&fetch=0")
	f.Add(url.Values{"url": {"http://shop.test"}, "header": {"Range: bytes=1-", "Cache-Control: only-if-cached"}}.Encode())
	f.Fuzz(func(t *testing.T, query string) {
		opts := adminOptions()
		opts.Explain = func(ctx context.Context, q api.Question) (*api.Explanation, error) {
			q.Fetch = false
			return explainer(t, `{"name": "g", "match": {"path": "/g", "methods": ["POST"]}, "graphql": true}`).Explain(ctx, q)
		}
		r, err := read("GET /v1/explain", "Host: 127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		api.NewAdmin(opts).ServeHTTP(w, r)
		switch {
		case w.Code != 200 && w.Code != 400:
			t.Fatalf("%q: %d %s", query, w.Code, w.Body)
		case w.Code == 200 && !strings.Contains(w.Body.String(), `"xCache": "`):
			t.Fatalf("%q: %s", query, w.Body)
		}
	})
}
