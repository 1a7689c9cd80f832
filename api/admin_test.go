package api_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/api"
)

func adminOptions() api.AdminOptions {
	return api.AdminOptions{
		Stats: func() any { return map[string]int{"hits": 7} },
		Policy: func() api.PolicyState {
			return api.PolicyState{Version: "v1", Source: json.RawMessage(`{"routes":[]}`)}
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("weir_up 1\n")) }),
	}
}

// call asks the admin handler; lines are the request line and fields.
func call(t *testing.T, opts api.AdminOptions, lines ...string) *http.Response {
	t.Helper()
	hosted := false
	for _, l := range lines {
		hosted = hosted || strings.HasPrefix(l, "Host:")
	}
	if !hosted {
		lines = append(lines, "Host: 127.0.0.1:8081")
	}
	r, err := read(lines...)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	api.NewAdmin(opts).ServeHTTP(w, r)
	return w.Result()
}

func wantJSON(t *testing.T, resp *http.Response, status int, want string) {
	t.Helper()
	body := bodyOf(t, resp)
	var got any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("not JSON: %q", body)
	}
	compact, _ := json.Marshal(got)
	if resp.StatusCode != status || string(compact) != want {
		t.Errorf("%d %s, want %d %s", resp.StatusCode, compact, status, want)
	}
	if resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("fields %v", resp.Header)
	}
}

func TestAdminRoutes(t *testing.T) {
	wantJSON(t, call(t, adminOptions(), "GET /healthz"), 200, `{"status":"ok"}`)
	wantJSON(t, call(t, adminOptions(), "GET /readyz"), 200, `{"status":"ready"}`)
	wantJSON(t, call(t, adminOptions(), "GET /v1/stats"), 200, `{"hits":7}`)
	wantJSON(t, call(t, adminOptions(), "GET /v1/policy"), 200, `{"source":{"routes":[]},"version":"v1"}`)
	if resp := call(t, adminOptions(), "GET /metrics"); resp.StatusCode != 200 || bodyOf(t, resp) != "weir_up 1\n" {
		t.Errorf("metrics: %d", resp.StatusCode)
	}
}

func TestAdminProbesByHead(t *testing.T) {
	for _, path := range []string{"/healthz", "/readyz", "/v1/stats", "/metrics"} {
		if resp := call(t, adminOptions(), "HEAD "+path); resp.StatusCode != 200 {
			t.Errorf("HEAD %s: %d", path, resp.StatusCode)
		}
	}
	opts := adminOptions()
	opts.Ready, opts.Token = func() error { return errors.New("draining") }, "t"
	for path, want := range map[string]int{"/readyz": 503, "/v1/stats": 401, "/nothing": 404} {
		if resp := call(t, opts, "HEAD "+path); resp.StatusCode != want {
			t.Errorf("HEAD %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestReadiness(t *testing.T) {
	opts := adminOptions()
	opts.Ready = func() error { return errors.New("draining") }
	wantJSON(t, call(t, opts, "GET /readyz"), 503,
		`{"error":{"code":"not-ready","hint":"","message":"This node takes no requests: draining."}}`)
	wantJSON(t, call(t, opts, "GET /healthz"), 200, `{"status":"ok"}`)
}

func TestAdminErrors(t *testing.T) {
	broken := adminOptions()
	broken.Stats = func() any { panic("secret") }
	unreadable := adminOptions()
	unreadable.Stats = func() any { return func() {} } // not JSON
	for _, c := range []struct {
		name   string
		opts   api.AdminOptions
		lines  []string
		status int
		code   string
	}{
		{"no such path", adminOptions(), []string{"GET /nothing"}, 404, "not-found"},
		{"wrong method", adminOptions(), []string{"DELETE /v1/stats"}, 405, "method-not-allowed"},
		{"override of the method", adminOptions(), []string{"DELETE /v1/stats", "X-HTTP-Method-Override: GET"}, 405, "method-not-allowed"},
		{"encoded slash", adminOptions(), []string{"GET /v1%2fstats"}, 404, "not-found"},
		{"dots", adminOptions(), []string{"GET /healthz/../v1/stats"}, 404, "not-found"},
		{"two slashes", adminOptions(), []string{"GET //evil.test/%2f.."}, 404, "not-found"},
		{"trailing slash", adminOptions(), []string{"GET /v1/stats/"}, 404, "not-found"},
		{"profiles", adminOptions(), []string{"GET /debug/pprof/"}, 404, "not-found"},
		{"panic", broken, []string{"GET /v1/stats"}, 500, "internal"},
		{"not JSON", unreadable, []string{"GET /v1/stats"}, 500, "internal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := call(t, c.opts, c.lines...)
			body := bodyOf(t, resp)
			if resp.StatusCode != c.status || !strings.Contains(body, `"code":"`+c.code+`"`) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, c.status, c.code)
			}
			if strings.Contains(body, "secret") || resp.Header.Get("Location") != "" {
				t.Errorf("too much said: %v %s", resp.Header, body)
			}
		})
	}
}

func TestAdminToken(t *testing.T) {
	opts := adminOptions()
	opts.Token = "s3cret"
	for _, c := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"none", []string{"GET /v1/stats"}, 401},
		{"right", []string{"GET /v1/stats", "Authorization: Bearer s3cret"}, 200},
		{"right, other case of the scheme", []string{"GET /v1/stats", "Authorization: bearer s3cret"}, 200},
		{"wrong", []string{"GET /v1/stats", "Authorization: Bearer s3creT"}, 401},
		{"prefix", []string{"GET /v1/stats", "Authorization: Bearer s3cre"}, 401},
		{"longer", []string{"GET /v1/stats", "Authorization: Bearer s3crets"}, 401},
		{"empty", []string{"GET /v1/stats", "Authorization: Bearer "}, 401},
		{"other scheme", []string{"GET /v1/stats", "Authorization: Basic s3cret"}, 401},
		{"in the query", []string{"GET /v1/stats?token=s3cret"}, 401},
		{"metrics", []string{"GET /metrics"}, 401},
		{"policy", []string{"GET /v1/policy"}, 401},
		{"health", []string{"GET /healthz"}, 200},
		{"readiness", []string{"GET /readyz"}, 200},
		{"any host with a token", []string{"GET /v1/stats", "Host: cache.example.com", "Authorization: Bearer s3cret"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := call(t, opts, c.lines...)
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			if (resp.Header.Get("WWW-Authenticate") != "") != (c.status == 401) {
				t.Errorf("challenge %q", resp.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestAdminBodyLimit(t *testing.T) {
	// No route takes a body yet; the limit stands before all of them.
	r := httptest.NewRequest("GET", "http://127.0.0.1/v1/stats", strings.NewReader(strings.Repeat("x", 2<<20)))
	opts := adminOptions()
	var readErr error
	opts.Metrics = nil
	opts.Stats = func() any {
		_, readErr = r.Body.Read(make([]byte, 2<<20))
		for readErr == nil {
			_, readErr = r.Body.Read(make([]byte, 1<<16))
		}
		return nil
	}
	api.NewAdmin(opts).ServeHTTP(httptest.NewRecorder(), r)
	var tooLarge *http.MaxBytesError
	if !errors.As(readErr, &tooLarge) {
		t.Errorf("reading ended with %v", readErr)
	}
}
