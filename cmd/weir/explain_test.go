package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"weir/api"
)

func TestExplainCommand(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	origin.text("/p/1", "a", minute, "Set-Cookie: a=b")
	policy := writeFile(t, filepath.Join(t.TempDir(), "policy.json"), `{"origins": {"o": {"url": "`+origin.URL+`"}}, "routes": [
		{"name": "off", "match": {"path": "/off/*"}, "edge": false},
		{"name": "page", "match": {"path": "/p/:id"}, "key": {"cookies": ["currency"], "excludeAllQueryParametersExcept": ["page"]}}]}`)
	node := serve(t, c, "--policy", policy, "--data", folder(t), "--log-level", "debug")

	ask := []string{"explain", "--admin", node.admin, "http://shop.test/p/1?utm=x&page=2", "-H", "Cookie: currency=EUR", "-H", "Authorization: Bearer s3cret", "--fetch", "--all"}
	status, text, stderr := command(t, ask...)
	if status != exitDone || stderr != "" {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	for _, want := range []string{
		"with Authorization, Cookie", "not off: It wants the path /off/*.", `cookie currency: "EUR"`, "forwarded as /p/1?page=2",
		"now      miss, status 200", "x-caching-status: set-cookie", "origin   answered with status 200",
		"yes  The response sets a cookie, RFC 9111 7.3.", "no   The response says private, RFC 9111 5.2.2.7.",
		`removeResponseHeaders": ["set-cookie"]`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %s:\n%s", want, text)
		}
	}
	if strings.Contains(text+node.logs.String(), "s3cret") {
		t.Error("a secret is repeated")
	}
	status, text, _ = command(t, append(ask[:4:4], "--json")...)
	var x api.Explanation
	if err := json.Unmarshal([]byte(text), &x); err != nil || status != exitDone || x.Route.Name != "page" {
		t.Errorf("exit status %d, %v: %s", status, err, text)
	}
}

func TestExplainCommandRefuses(t *testing.T) {
	c := newClock()
	node := serve(t, c, "--origin", newScripted(t, c).URL, "--data", folder(t))
	for _, tt := range []struct{ args, want string }{
		{"/p/1", "The URL is not absolute. Write http://HOST/PATH"},
		{"shop.test/p/1", "The URL is not absolute."},
		{"http://shop.test/#a", "The request target has a fragment."},
		{"http://shop.test/ -X B(D", `"B(D" is no method.`},
		{"http://shop.test/ -X BREW", `No route names the method "BREW"`},
		{"http://shop.test/ -H Cookie=s3cret", "Header 1 has no colon. Write 'name: value'."},
		{"http://shop.test/ -X PUT --fetch", "The request may change things at the origin"},
		{"", "expected \"<URL>\""},
	} {
		args := append([]string{"explain", "--admin", node.admin}, strings.Fields(tt.args)...)
		status, out, stderr := command(t, args...)
		if flat := strings.Join(strings.Fields(stderr), " "); status != exitUsage || out != "" || !strings.Contains(flat, tt.want) || strings.Contains(flat, "s3cret") {
			t.Errorf("%s: exit status %d: %s%s", tt.args, status, out, stderr)
		}
	}
	if status, _, stderr := command(t, "explain", "--admin", "127.0.0.1:1", "http://shop.test/", "-H", "Cookie: s3cret"); status != exitFailed || strings.Contains(stderr, "s3cret") {
		t.Errorf("without a node: exit status %d: %s", status, stderr)
	}
}

// A soft purge is seen in both tiers, and the whole text has every rule.
func TestExplainSoftened(t *testing.T) {
	w := newWorld(t, false)
	request := []string{"GET /?cache-control=max-age=60,stale-while-revalidate=60"}
	w.do("ask", request)
	w.do("soften", request)
	w.explained("soft purged, in its stale window", request, false).check(t, w.send(request[0], nil))
	w.quiet()
	q, _ := questionOf(request)
	var b strings.Builder
	if err := printExplanation(&b, w.explain(q), true); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, filepath.Join("testdata", "explain", "all-rules.golden"), epochs.ReplaceAllString(b.String(), "epoch N"))
}

// Who asks what is stored is not told what others said about themselves to get it.
func TestExplainKeepsSecrets(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	origin.text("/a", "for all", minute, "Vary: Cookie, Accept-Language", "Cache-Control: public, max-age=60")
	node := serve(t, c, "--origin", origin.URL, "--data", folder(t))
	node.fill("/a", "Cookie: session=s3cret", "Accept-Language: de")
	status, text, stderr := command(t, "explain", "--admin", node.admin, "http://"+testHost+"/a", "--json")
	if status != exitDone || strings.Contains(text, "s3cret") || !strings.Contains(text, `"Accept-Language": "de"`) || !strings.Contains(text, `"Cookie": "..."`) {
		t.Errorf("exit status %d, %s: %s", status, stderr, text)
	}
}
