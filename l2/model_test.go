package l2_test

import (
	"fmt"
	"net/http"
	"testing"

	"pgregory.net/rapid"

	"weir/l2"
	"weir/rfc9111"
)

// TestModel compares a store with a map: what is found is exactly what was stored last under that key and selection, whatever was
// dropped, replaced, deleted, freshened and reopened in between. While nothing was dropped to make room, it is found.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{t: t, dir: t.TempDir(), want: map[place]stored{}}
		m.opts = l2.Options{MaxBytes: 2 << 20, SegmentBytes: rapid.SampledFrom([]int64{256 << 10, 512 << 10}).Draw(rt, "segment")}
		m.store = open(t, m.dir, m.opts)
		rt.Repeat(map[string]func(*rapid.T){
			"put":     m.put,
			"get":     m.get,
			"freshen": m.freshen,
			"delete":  m.delete,
			"drop":    m.drop,
			"filler":  m.filler,
			"sync":    func(*rapid.T) { sync(t, m.store) },
			"reopen":  m.reopen,
		})
		m.reopen(rt)
		for p := range m.want {
			m.check(rt, p)
		}
		if err := m.store.Close(); err != nil {
			rt.Fatal(err)
		}
		if r, err := l2.Verify(m.dir); err != nil || len(r.Damage) > 0 {
			rt.Fatalf("%+v, %v", r, err)
		}
	})
}

type place struct{ target, lang string }

type stored struct {
	etag string
	seed uint64
	size int
}

type model struct {
	t       *testing.T
	dir     string
	opts    l2.Options
	store   *l2.Store
	want    map[place]stored
	version int
	dropped bool
}

func draw(rt *rapid.T) place {
	return place{
		target: rapid.SampledFrom([]string{"/a", "/b", "/c", "/d", "/e", "/f"}).Draw(rt, "target"),
		lang:   rapid.SampledFrom([]string{"", "", "en", "de"}).Draw(rt, "lang"),
	}
}

func (p place) header() http.Header { return http.Header{"Accept-Language": {p.lang}} }

// response is a variant by language; targets are either always or never varied, as origins do.
func (m *model) response(p *place, size int) *rfc9111.Response {
	m.version++
	resp := response(int64(size), fmt.Sprint(m.version))
	if p.target < "/c" {
		p.lang = ""
		return resp
	}
	resp.Selection, _ = rfc9111.Select([]string{"Accept-Language"}, p.header())
	return resp
}

func (m *model) put(rt *rapid.T) {
	p := draw(rt)
	size := rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(3000, 90_000)).Draw(rt, "size")
	resp := m.response(&p, size)
	put(rt, m.store, key(m.t, p.target), resp, content(uint64(m.version), size))
	m.want[p] = stored{etag: resp.Header.Get("Etag"), seed: uint64(m.version), size: size}
}

func (m *model) get(rt *rapid.T) {
	p := draw(rt)
	m.response(&p, 0)
	m.check(rt, p)
}

func (m *model) check(rt *rapid.T, p place) {
	m.dropped = m.dropped || m.store.Stats().Dropped > 0
	resp, b := get(rt, m.store, key(m.t, p.target), p.header())
	want, ok := m.want[p]
	switch {
	case resp == nil && ok && !m.dropped:
		rt.Fatalf("%v is lost", p)
	case resp == nil:
	case !ok:
		rt.Fatalf("%v is found, but was never stored or is deleted", p)
	case resp.Header.Get("Etag") != want.etag:
		rt.Fatalf("%v has version %s, want %s", p, resp.Header.Get("Etag"), want.etag)
	case string(b) != string(content(want.seed, want.size)):
		rt.Fatalf("%v has wrong bytes", p)
	}
}

func (m *model) freshen(rt *rapid.T) {
	p := draw(rt)
	resp := m.response(&p, 0)
	resp.Length = -1
	if err := m.store.Freshen(key(m.t, p.target), nil, resp); err == nil {
		w := m.want[p]
		w.etag = resp.Header.Get("Etag")
		m.want[p] = w
	}
}

func (m *model) delete(rt *rapid.T) {
	p := draw(rt)
	if err := m.store.Delete(key(m.t, p.target)); err != nil {
		rt.Fatal(err)
	}
	for q := range m.want {
		if q.target == p.target {
			delete(m.want, q)
		}
	}
}

func (m *model) drop(rt *rapid.T) {
	p := draw(rt)
	if err := m.store.Drop(key(m.t, p.target), m.response(&p, 0).Selection); err != nil {
		rt.Fatal(err)
	}
	delete(m.want, p)
}

// filler pushes older objects out.
func (m *model) filler(rt *rapid.T) {
	for range rapid.IntRange(1, 30).Draw(rt, "fillers") {
		m.version++
		put(rt, m.store, key(m.t, fmt.Sprint("/filler", m.version)), response(30_000, "1"), content(uint64(m.version), 30_000))
	}
}

func (m *model) reopen(rt *rapid.T) {
	m.dropped = m.dropped || m.store.Stats().Dropped > 0
	if err := m.store.Close(); err != nil {
		rt.Fatal(err)
	}
	m.dropped = m.dropped || m.store.Stats().Dropped > 0
	s, err := l2.Open(m.dir, m.opts)
	if err != nil {
		rt.Fatal(err)
	}
	m.store = s
	m.t.Cleanup(func() { _ = s.Close() })
}
