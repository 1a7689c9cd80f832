package shield_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"weir/rfc9111"
)

const sliceSize = 64 << 10

// slicedPolicy slices everything. Its argument is more of edge.
func slicedPolicy(more string) string {
	return fmt.Sprintf(`{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o", "edge": {"sliceBytes": %d%s}}}`, sliceSize, more)
}

// archive is an origin with one long body, which has versions, and serves ranges of it.
type archive struct {
	mu      sync.Mutex
	version int
	size    int
	step    int      // by which each version is longer than the one before
	fields  []string // besides validators; alternately names and values
	asked   []string // Range of each request, "" without
	busy    map[string]int
	most    int // requests for one range at a time

	// before is called with each request, if it is set, without locks, and change with
	// each response.
	before func(*http.Request)
	change func(*http.Request, *http.Response)
}

// content is the body of a version. No two have the same bytes anywhere.
func (a *archive) content(version int) []byte {
	key := [2]int{version, a.size + a.step*version}
	if c, ok := contents.Load(key); ok {
		return c.([]byte)
	}
	body := make([]byte, key[1])
	_, _ = rand.NewChaCha8([32]byte{byte(version)}).Read(body)
	c, _ := contents.LoadOrStore(key, body)
	return c.([]byte)
}

var contents sync.Map

func tagOf(version int) string { return fmt.Sprintf(`"v%d"`, version) }

// update makes another version the current one.
func (a *archive) update(version int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version = version
}

func (a *archive) answer(r *http.Request) (*http.Response, error) {
	field := r.Header.Get("Range")
	a.mu.Lock()
	a.asked = append(a.asked, field)
	if a.busy == nil {
		a.busy = map[string]int{}
	}
	a.busy[field]++
	a.most = max(a.most, a.busy[field])
	before, change := a.before, a.change
	a.mu.Unlock()
	if before != nil {
		before(r)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy[field]--
	resp := a.respond(r, a.version)
	if change != nil {
		change(r, resp)
	}
	return resp, nil
}

func (a *archive) respond(r *http.Request, version int) *http.Response {
	fields := append([]string{"Etag", tagOf(version), "Content-Type", "video/mp4"}, a.fields...)
	if a.fields == nil {
		fields = append(fields, "Cache-Control", cacheable)
	}
	if r.Header.Get("If-None-Match") == tagOf(version) {
		return respondWith(304, http.NoBody, 0, fields...)
	}
	content := a.content(version)
	ranges, err := rfc9111.ParseRange(r.Header.Get("Range"), int64(len(content)))
	switch {
	case err != nil:
		return respond(416, "", append(fields, "Content-Range", fmt.Sprintf("bytes */%d", len(content)))...)
	case len(ranges) != 1:
		return respondWith(200, bytes.NewReader(content), int64(len(content)), fields...)
	}
	part := content[ranges[0].Start : ranges[0].Start+ranges[0].Length]
	span := fmt.Sprintf("bytes %d-%d/%d", ranges[0].Start, ranges[0].Start+ranges[0].Length-1, len(content))
	return respondWith(206, bytes.NewReader(part), int64(len(part)), append(fields, "Content-Range", span)...)
}

// requests returns the ranges asked for since the last call.
func (a *archive) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.asked
	a.asked = nil
	return out
}

// ranges makes the Range fields of slices.
func ranges(slices ...int) []string {
	var out []string
	for _, i := range slices {
		out = append(out, fmt.Sprintf("bytes=%d-%d", i*sliceSize, (i+1)*sliceSize-1))
	}
	return out
}

// startArchive puts a shield that slices in front of an archive of n bytes.
func startArchive(t testing.TB, n int, o options) (*setup, *archive) {
	t.Helper()
	if o.policy == "" {
		o.policy = slicedPolicy("")
	}
	s := start(t, o)
	a := &archive{version: 1, size: n}
	s.origin.answer(a.answer)
	return s, a
}

// cut returns what of an answer a Range asks for, as the door sends it.
func cut(ans *rfc9111.Answer, field string) (result, []rfc9111.Range) {
	r := result{status: ans.Head.Status, header: ans.Head.Header, decision: ans.Decision}
	size := ans.Head.Length
	parts, err := rfc9111.ParseRange(field, size)
	if ans.At == nil || err != nil || len(parts) == 0 {
		whole := read(ans)
		if err == nil && whole.err == nil && len(parts) > 0 {
			whole.body = joined([]byte(whole.body), parts)
		}
		return whole, parts
	}
	for _, p := range parts {
		got := make([]byte, p.Length)
		n, err := io.ReadFull(io.NewSectionReader(ans.At, p.Start, p.Length), got)
		r.body += string(got[:n])
		if r.err = err; err != nil {
			break
		}
	}
	if err := ans.Body.Close(); err != nil {
		r.err = errors.Join(r.err, err)
	}
	return r, parts
}

// joined is what parts of content are.
func joined(content []byte, parts []rfc9111.Range) string {
	var b bytes.Buffer
	for _, p := range parts {
		b.Write(content[p.Start : p.Start+p.Length])
	}
	return b.String()
}

// getRange asks for ranges and reads no more than those.
func (s *setup) getRange(target, field string, fields ...string) result {
	s.t.Helper()
	ans, err := s.shield.Fetch(s.t.Context(), s.request(target, append([]string{"Range", field}, fields...)...))
	if err != nil {
		return result{err: err}
	}
	r, _ := cut(ans, field)
	return r
}
