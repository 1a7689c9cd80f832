package api_test

import (
	"bytes"
	"testing"
)

func TestProfiles(t *testing.T) {
	opts := adminOptions()
	opts.Profiling = true
	for _, name := range []string{"heap", "allocs", "goroutine", "profile?seconds=1"} {
		resp := call(t, opts, "GET /debug/pprof/"+name)
		if body := bodyOf(t, resp); resp.StatusCode != 200 || !bytes.HasPrefix([]byte(body), []byte{0x1f, 0x8b}) {
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
