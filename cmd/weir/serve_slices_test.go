package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

const sliceBytes = 256 << 10

// film puts a node that slices in front of an origin with one long body of n bytes, which
// has versions.
func film(t *testing.T, n int, args ...string) (origin *scripted, node *running, version *atomic.Int32, content func(version int32) []byte) {
	t.Helper()
	c := newClock()
	origin = newScripted(t, c)
	version = new(atomic.Int32)
	content = func(version int32) []byte {
		body := make([]byte, n)
		_, _ = rand.NewChaCha8([32]byte{byte(version)}).Read(body)
		return body
	}
	bodies := [2][]byte{content(0), content(1)}
	origin.page("/film", func(w http.ResponseWriter, r *http.Request) {
		v := version.Load()
		w.Header().Set("Etag", fmt.Sprintf(`"%d"`, v))
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Type", "video/mp4")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bodies[v]))
	})
	file := writeFile(t, t.TempDir()+"/policy.json", fmt.Sprintf(`{"origins": {"o": {"url": %q}},
		"routes": [{"name": "films", "match": {"path": "/film"}, "edge": {"sliceBytes": %d}}]}`, origin.URL, sliceBytes))
	node = serve(t, c, append([]string{"--policy", file, "--data", folder(t)}, args...)...)
	return origin, node, version, func(version int32) []byte { return bodies[version] }
}

func TestSlices(t *testing.T) {
	const n = 10*sliceBytes + 77
	origin, node, version, content := film(t, n)
	got := node.get("/film", "Range: bytes=300000-300009")
	node.want(got, 206, "miss; oc=pass, sc=cached; ok", string(content(0)[300_000:300_010]))
	if status := got.Header.Get("Cache-Status"); status != "weir-shield; fwd=uri-miss; fwd-status=206; stored, weir-local; fwd=miss" {
		t.Errorf("Cache-Status: %s", status)
	}
	if r := got.Header.Get("Content-Range"); r != fmt.Sprintf("bytes 300000-300009/%d", n) {
		t.Errorf("Content-Range: %s", r)
	}
	asked(t, origin, "/film", 1)
	if r := origin.requests("/film")[0].Header.Get("Range"); r != "bytes=262144-524287" {
		t.Errorf("asked for %s", r)
	}
	node.quiet()
	got = node.get("/film", "Range: bytes=262144-262145")
	node.want(got, 206, "hit; oc=pass, sc=hit; ok", string(content(0)[262_144:262_146]))

	got = node.get("/film", "Range: bytes=-5,0-4")
	_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(bytes.NewReader([]byte(got.body)), params["boundary"])
	for _, want := range [][]byte{content(0)[n-5:], content(0)[:5]} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(p); err != nil || !bytes.Equal(b, want) {
			t.Errorf("part %q, %v", b, err)
		}
	}
	node.quiet()
	node.want(node.get("/film", "Range: bytes=99999999-"), 416, "hit; oc=pass, sc=hit; ok", node.get("/film", "Range: bytes=99999999-").body)
	if got := node.get("/film", `If-None-Match: "0"`); got.StatusCode != 304 || got.Header.Get("X-Cache") != "hit" {
		t.Errorf("status %d, %s", got.StatusCode, got.use())
	}
	if got := node.do("HEAD", "/film"); got.StatusCode != 200 || got.Header.Get("X-Cache") != "hit" || got.Header.Get("Content-Length") != fmt.Sprint(n) {
		t.Errorf("status %d, %s, %v", got.StatusCode, got.use(), got.Header)
	}
	if got := node.fill("/film"); got.StatusCode != 200 || got.body != string(content(0)) || got.Header.Get("Content-Range") != "" {
		t.Errorf("status %d, %d bytes, %v", got.StatusCode, len(got.body), got.Header)
	}
	asked(t, origin, "/film", 11)
	var ranges []string
	for _, r := range origin.requests("/film") {
		ranges = append(ranges, r.Header.Get("Range"))
	}
	slices.Sort(ranges)
	if len(slices.Compact(ranges)) != 11 {
		t.Errorf("asked for %q", ranges)
	}

	// A POST to the URL drops all slices.
	version.Store(1)
	node.do("POST", "/film")
	if got := node.fill("/film"); got.body != string(content(1)) || got.Header.Get("X-Cache") != "miss" {
		t.Errorf("%s, %d bytes", got.use(), len(got.body))
	}
	if st := node.stats(); st.L1.Objects != 0 || st.Shield.Sliced < 6 || st.Shield.Changed != 0 {
		t.Errorf("%d objects in memory, %d sliced, %d changed", st.L1.Objects, st.Shield.Sliced, st.Shield.Changed)
	}
}

// A version that changes in the middle is an end that the client sees.
func TestSlicesThatChange(t *testing.T) {
	const n = 40 * sliceBytes
	_, node, version, content := film(t, n)
	resp := node.open("/film")
	got := make([]byte, 3*sliceBytes)
	if _, err := io.ReadFull(resp.Body, got); err != nil {
		t.Fatal(err)
	}
	version.Store(1)
	rest, err := io.ReadAll(resp.Body)
	got = append(got, rest...)
	if err == nil || len(got) == n || !bytes.HasPrefix(content(0), got) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	node.quiet()
	if got := node.fill("/film"); got.body != string(content(1)) {
		t.Errorf("%s, %d bytes", got.use(), len(got.body))
	}
}

// A body many times as long as the disk tier is large passes through it.
func TestSlicesInASmallDiskTier(t *testing.T) {
	const n = 24 << 20
	origin, node, _, content := film(t, n, "--l2-size", "4MiB")
	want := sha256.Sum256(content(0))
	for range 2 {
		resp := node.open("/film")
		sum := sha256.New()
		if got, err := io.Copy(sum, resp.Body); err != nil || got != n {
			t.Fatalf("%d bytes, %v", got, err)
		}
		if !bytes.Equal(sum.Sum(nil), want[:]) {
			t.Error("other bytes")
		}
	}
	node.quiet()
	if got := len(origin.requests("/film")); got > 2*n/sliceBytes {
		t.Errorf("%d requests for 2 times %d slices", got, n/sliceBytes)
	}
	if st := node.stats(); st.L2.Disk > 6<<20 || st.Shield.Changed != 0 {
		t.Errorf("%d bytes on disk, %d changed", st.L2.Disk, st.Shield.Changed)
	}
}
