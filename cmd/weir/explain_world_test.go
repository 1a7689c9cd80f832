package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/api"
	"weir/shield"
)

// explained is what was said about a request before it was sent: without asking the
// origin, and with.
type explained struct {
	without, with *api.Explanation // nil where there is nothing to compare
}

// explained has the node explain a request of send, twice: what it says must not depend on
// what it said. The text for people is in a golden file for each way.
func (w *world) explained(name string, request []string, beside bool) (out explained) {
	w.t.Helper()
	q, ok := questionOf(request)
	if !ok {
		return out
	}
	asked, epoch := w.asked.Load(), w.node.purges.Newest()
	first, again := w.explain(q), w.explain(q)
	if w.asked.Load() != asked {
		w.t.Error("the origin was asked to explain")
	}
	q.Fetch = !beside // or it would wait as well
	out = explained{first, w.explain(q)}
	if out.with == nil {
		w.t.Fatal("no explanation")
	}
	if w.node.purges.Newest() != epoch {
		w.t.Error("something was purged to explain")
	}
	text, same := explanationText(w.t, first), explanationText(w.t, again)
	if text != same {
		w.t.Errorf("explained otherwise the second time:\n%s\nthan the first:\n%s", same, text)
	}
	if with := explanationText(w.t, out.with); with != text {
		text += "\nwith --fetch\n\n" + with
	}
	compareGolden(w.t, filepath.Join("testdata", "explain", fileName(name)+".golden"), text)
	if beside {
		return explained{} // what it joins is not rehearsed
	}
	return out
}

// explain explains q, or says what it would with Fetch where that is refused.
func (w *world) explain(q api.Question) *api.Explanation {
	w.t.Helper()
	x, err := w.node.explainer.Explain(context.Background(), q)
	if errors.Is(err, shield.ErrUnsafe) && q.Fetch {
		q.Fetch = false
		return w.explain(q)
	}
	if err != nil {
		w.t.Errorf("%+v: %v", q, err)
	}
	return x
}

// questionOf turns what send takes into a question; ok is false for what has no URL.
func questionOf(request []string) (q api.Question, ok bool) {
	method, target, _ := strings.Cut(request[0], " ")
	if target == "*" || strings.Contains(target, "#") {
		return q, false
	}
	q = api.Question{Method: method, URL: "http://shop.test" + target}
	for _, field := range request[1:] {
		if content, ok := strings.CutPrefix(field, "body="); ok {
			q.Body = content
			continue
		}
		q.Header = append(q.Header, field)
	}
	return q, true
}

var (
	epochs   = regexp.MustCompile(`epoch \d+`)
	unusable = regexp.MustCompile(`[^a-z0-9]+`)
	longBody = regexp.MustCompile(`a{100,}`)
)

// explanationText is the text without what differs from run to run.
func explanationText(t *testing.T, x *api.Explanation) string {
	t.Helper()
	var b strings.Builder
	if err := printExplanation(&b, x, false); err != nil {
		t.Fatal(err)
	}
	return longBody.ReplaceAllString(epochs.ReplaceAllString(b.String(), "epoch N"), "a...")
}

func fileName(name string) string {
	return strings.Trim(unusable.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		writeFile(t, path, got)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the difference. Now it is:\n%s", path, got)
	}
}

// check holds what was explained against the answer.
func (e explained) check(t *testing.T, resp *http.Response) {
	t.Helper()
	if e.without == nil {
		return
	}
	if err := differs(e.without, resp.StatusCode, resp.Header); err != "" {
		t.Errorf("explained without asking: %s", err)
	}
	if err := differs(e.with, resp.StatusCode, resp.Header); err != "" {
		t.Errorf("explained by asking: %s", err)
	}
}

// statusFields are the fields that say what became of a request.
var statusFields = []string{"X-Cache", "X-Cache-Tier", "X-Caching-Status", "Cache-Status"}

// differs says how the answer to a request is not what was explained, "" for in no way.
func differs(x *api.Explanation, status int, h http.Header) string {
	n := &x.Now
	if n.Known {
		got, want := "status "+http.StatusText(status), "status "+http.StatusText(n.Status)
		for _, name := range statusFields {
			got, want = got+"; "+h.Get(name), want+"; "+n.Header.Get(name)
		}
		if got != want {
			return "got " + got + "\nwant " + want
		}
		return ""
	}
	use := h.Get("X-Cache")
	if use == "stale" && n.IfOriginFails == "stale" {
		return ""
	}
	members := strings.Split(h.Get("Cache-Status"), ", weir-")
	nearest, outer := parseMember(members[0]), parseMember(members[len(members)-1])
	switch {
	case use != string(n.XCache):
		return "it is a " + use + ", not a " + string(n.XCache)
	case n.XCache == "bypass" && h.Get("X-Caching-Status") != string(n.CachingStatus):
		return "it is " + h.Get("X-Caching-Status") + ", not " + string(n.CachingStatus)
	case n.Forward != "" && nearest.fwd != string(n.Forward) && status < 500:
		return "fwd is " + nearest.fwd + ", not " + string(n.Forward)
	case len(members) > 1 && n.OuterForward != "" && outer.fwd != string(n.OuterForward) && status < 500:
		return "fwd of memory is " + outer.fwd + ", not " + string(n.OuterForward)
	}
	return ""
}
