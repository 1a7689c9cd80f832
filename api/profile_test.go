package api_test

import (
	"io"
	"net/http"
	"runtime/pprof"
	"strings"
	"testing"
)

func TestProfiles(t *testing.T) {
	opts := adminOptions()
	opts.Profiling = true
	for name, begin := range map[string]string{
		"heap": "\x1f\x8b", "allocs": "\x1f\x8b", "goroutine": "\x1f\x8b", "profile?seconds=1": "\x1f\x8b",
		"trace?seconds=1": "go 1.", "goroutine?debug=1": "goroutine profile:",
	} {
		resp := call(t, opts, "GET /debug/pprof/"+name)
		if body := bodyOf(t, resp); resp.StatusCode != 200 || !strings.HasPrefix(body, begin) {
			t.Errorf("%s: %d, %d bytes that are no profile", name, resp.StatusCode, len(body))
		}
	}
}

func TestProfilesThatThereAreNot(t *testing.T) {
	on, guarded := adminOptions(), adminOptions()
	on.Profiling, guarded.Profiling, guarded.Token = true, true, "t"
	for line, want := range map[string]int{
		"GET /debug/pprof/":                     404,
		"GET /debug/pprof/cmdline":              404,
		"GET /debug/pprof/nothing":              404,
		"GET /debug/pprof/profile?seconds=0":    400,
		"GET /debug/pprof/profile?seconds=61":   400,
		"GET /debug/pprof/trace?seconds=1e9":    400,
		"GET /debug/pprof/heap?seconds=x":       400,
		"POST /debug/pprof/heap":                405,
		"POST /debug/pprof/profile?seconds=1":   405,
		"GET /debug/pprof/..%2f..%2fv1%2fstats": 404,
	} {
		if resp := call(t, on, line); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", line, resp.StatusCode, want)
		}
		if resp := call(t, adminOptions(), line); resp.StatusCode != 404 {
			t.Errorf("%s without profiling: %d", line, resp.StatusCode)
		}
	}
	if resp := call(t, guarded, "GET /debug/pprof/heap"); resp.StatusCode != 401 {
		t.Errorf("without the token: %d", resp.StatusCode)
	}
}

func TestOneProfileAtATime(t *testing.T) {
	opts := adminOptions()
	opts.Profiling = true
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	wantJSON(t, call(t, opts, "GET /debug/pprof/profile?seconds=1"), 409,
		`{"error":{"code":"profiling","hint":"There is one at a time. Wait for it.","message":"Another profile of this kind is being made."}}`)
}

// Programs import this package, and have a http.DefaultServeMux of their own.
func TestProfilesAreNotServedByThemselves(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/pprof/heap", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, pattern := http.DefaultServeMux.Handler(r); pattern != "" {
		t.Errorf("http.DefaultServeMux serves %s", pattern)
	}
}
