package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"weir/api"
	"weir/keying"
	"weir/rfc9111"
)

// FuzzTarget sends any target and host through the door as net/http parsed them.
// What is served is forwarded byte for byte, is in the key, and means the same when
// it is asked for again.
func FuzzTarget(f *testing.F) {
	for _, uri := range []string{
		"/", "*", "/a?b=c", "//a", "/a/../b", "/%2e%2e/", "/a%00", "/#", "/\\", "http://a.test/", "https://A.test:443?x",
		"http://u@a.test/", "/\xff", "/a?%zz", "ftp://a/", "a.test:80", "http://[::1]:80/", "/?a=1&a=2;b", "/%",
	} {
		f.Add(uri, "a.test")
	}
	f.Add("/", "A.TEST.:80")
	f.Add("/", "[2001:DB8::1]:8080")
	s := always(func() *rfc9111.Answer { return stored("ok") })
	d := newDoor(f, s, "", api.DoorOptions{})
	f.Fuzz(func(t *testing.T, uri, host string) {
		if len(uri)+len(host) > 16<<10 {
			return // longer than any head
		}
		r, err := read("GET "+uri, "Host: "+host)
		if err != nil {
			return
		}
		s.asked = nil
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if len(s.asked) == 0 {
			if w.Code < 400 {
				t.Fatalf("%q answered with %d by nobody", uri, w.Code)
			}
			return
		}
		req := s.one(t)
		checkForwarded(t, r.RequestURI, req.Target)
		if req.Keyed.Target != req.Target || !inKey(req.Keyed.Key, "target", req.Target) || !inKey(req.Keyed.Key, "host", req.Host) {
			t.Errorf("%q is not what the key holds: %v", req.Target, req.Keyed.Key.Parts())
		}
		if strings.ToLower(req.Host) != req.Host || strings.HasSuffix(req.Host, ".") || strings.HasSuffix(req.Host, ":80") {
			t.Errorf("host %q is not canonical", req.Host)
		}
		again, err := read("GET "+req.Target, "Host: "+req.Host)
		if err != nil {
			t.Fatalf("%q on %q cannot be asked for: %v", req.Target, req.Host, err)
		}
		s.asked = nil
		d.ServeHTTP(httptest.NewRecorder(), again)
		if second := s.one(t); second.Keyed.Key != req.Keyed.Key || second.Target != req.Target {
			t.Errorf("%q becomes %q", req.Target, second.Target)
		}
	})
}

func checkForwarded(t *testing.T, uri, target string) {
	t.Helper()
	if !strings.HasSuffix(uri, target) && !strings.HasSuffix(uri, strings.TrimPrefix(target, "/")) {
		t.Errorf("%q is forwarded as %q", uri, target)
	}
	if strings.HasPrefix(uri, "/") && target != uri {
		t.Errorf("%q is forwarded as %q", uri, target)
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f || c == '#' || c == '\\' {
			t.Errorf("byte %#x in %q", c, target)
		}
	}
	if !strings.HasPrefix(target, "/") || strings.Contains(target, "%00") {
		t.Errorf("%q is forwarded", target)
	}
}

func inKey(k keying.Key, kind, value string) bool {
	for _, p := range k.Parts() {
		if p.Kind == kind && p.Value == value {
			return true
		}
	}
	return false
}
