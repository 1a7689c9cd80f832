package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

func TestAccessLogLine(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	times := []time.Time{now, now.Add(1500 * time.Microsecond)}
	clock := func() time.Time {
		if len(times) == 1 {
			return times[0]
		}
		first := times[0]
		times = times[1:]
		return first
	}
	s := always(func() *rfc9111.Answer { return stored("hello") })
	ask(t, newDoor(t, s, routes, api.DoorOptions{Log: zap.New(core), Now: clock}), "GET /a?b=c", "Host: A.test:80")
	if lines.Len() != 1 {
		t.Fatalf("%d lines, want 1", lines.Len())
	}
	got := lines.All()[0].ContextMap()
	digest, _ := got["key"].(string)
	if len(digest) != 32 {
		t.Errorf("key %q is not a digest", digest)
	}
	delete(got, "key")
	for name, want := range map[string]any{
		"status": int64(200), "use": "hit", "why": "ok", "tiers": "oc=hit", "route": "defaults", "method": "GET",
		"host": "a.test", "target": "/a?b=c", "bytes": int64(5), "ms": 1.5, "client": "192.0.2.7",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("more fields: %v", got)
	}
}

// Lines are sampled, failures are not, and counters do not care.
func TestSampling(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	n := 0
	s := &tier{fetch: func(context.Context, *policy.Request) (*rfc9111.Answer, error) {
		if n++; n%2 == 0 {
			return nil, shield.ErrOriginUnreachable
		}
		return ok(), nil
	}}
	d := newDoor(t, s, "", api.DoorOptions{Log: zap.New(core)})
	const each = 1000
	for range 2 * each {
		ask(t, d, "GET /")
	}
	served := lines.FilterField(zap.Int("status", 200)).Len()
	failed := lines.FilterField(zap.Int("status", 502)).Len()
	if served >= each || served == 0 {
		t.Errorf("%d of %d requests have a line", served, each)
	}
	if failed != each {
		t.Errorf("%d of %d failures have a line", failed, each)
	}
	counted := uint64(0)
	for _, c := range d.Stats().Requests {
		counted += c.Count
	}
	if counted != 2*each {
		t.Errorf("counted %d requests, want %d", counted, 2*each)
	}
}

// No byte of a client can begin a line or steer a terminal, in either format.
func TestLogInjection(t *testing.T) {
	hostile := []string{
		"GET /\x1b[2J", "GET /a\u2028b", "GET /\xc2\x9b31m", "GET /a?\"},{\"status\":200", "BREW`id` /", "GET /" + strings.Repeat("a", 5000),
	}
	for format, encoder := range map[string]zapcore.Encoder{
		"json":    zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
		"console": zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
	} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			log := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&out), zap.InfoLevel))
			d := newDoor(t, failing(errors.New("broken\n2026-01-01 forged \x1b[31m")), "", api.DoorOptions{Log: log})
			asked := 0
			for _, line := range hostile {
				r, err := read("GET /")
				if err != nil {
					t.Fatal(err)
				}
				method, target, _ := strings.Cut(line, " ")
				r.Method, r.RequestURI, r.Host = method, target, "a\r\nb.test\x00"
				d.ServeHTTP(discard{}, r)
				r.Host = "a.test"
				d.ServeHTTP(discard{}, r)
				asked += 2
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if len(lines) != asked {
				t.Errorf("%d lines for %d requests", len(lines), asked)
			}
			for _, line := range lines {
				for i := range len(line) {
					if c := line[i]; c < ' ' && c != '\t' || c >= 0x7f {
						t.Fatalf("byte %#x in %q", c, line)
					}
				}
				if format == "json" && !json.Valid([]byte(line)) {
					t.Errorf("not JSON: %q", line)
				}
			}
		})
	}
}

// An aborted response is a failure in the log, with its cause.
func TestAbortIsLogged(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	s := always(func() *rfc9111.Answer {
		return streamed(io.NopCloser(io.MultiReader(strings.NewReader("abc"), failure{errors.New("reset by origin")})), 10)
	})
	d := newDoor(t, s, "", api.DoorOptions{Log: zap.New(core)})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the connection is not aborted")
			}
		}()
		ask(t, d, "GET /")
	}()
	all := lines.All()
	if len(all) != 1 || all[0].Level != zap.WarnLevel {
		t.Fatalf("lines %v", all)
	}
	got := all[0].ContextMap()
	if got["aborted"] != true || got["error"] != "reset by origin" || got["bytes"] != int64(3) {
		t.Errorf("fields %v", got)
	}
}

// A client that leaves is no failure of ours, however many do.
func TestLeavingIsNoFailure(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	s := always(func() *rfc9111.Answer {
		cancel()
		return streamed(io.NopCloser(failure{context.Canceled}), -1)
	})
	d := newDoor(t, s, "", api.DoorOptions{Log: zap.New(core)})
	r, err := read("GET /")
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		d.ServeHTTP(discard{}, r.WithContext(ctx))
	}()
	all := lines.All()
	if len(all) != 1 || all[0].Level != zap.InfoLevel || all[0].ContextMap()["left"] != true {
		t.Errorf("lines %v", all)
	}
}

func TestCounters(t *testing.T) {
	s := always(func() *rfc9111.Answer { return stored("hello") })
	d := newDoor(t, s, routes, api.DoorOptions{})
	for range 3 {
		ask(t, d, "GET /x")
	}
	ask(t, d, "GET /%00")
	got := d.Stats()
	want := []api.RequestCount{
		{Route: "", Use: rfc9111.Bypass, Class: "4xx", Count: 1},
		{Route: "defaults", Use: rfc9111.Hit, Class: "2xx", Count: 3},
	}
	if len(got.Requests) != 2 || got.Requests[0] != want[0] || got.Requests[1] != want[1] {
		t.Errorf("requests %+v", got.Requests)
	}
	if got.Active != 0 || got.Aborted != 0 || got.BytesSent < 15 || got.Reasons[rfc9111.StatusOK] != 3 {
		t.Errorf("stats %+v", got)
	}
	if h := got.Durations[rfc9111.Hit]; h.Total() != 3 {
		t.Errorf("durations %+v", h)
	}
}

// discard is a response that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// What never reached the door is counted and logged like everything else.
func TestRefusalsOfTheGuard(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	d := newDoor(t, always(ok), "", api.DoorOptions{Log: zap.New(core)})
	d.Refused(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}, 400, "bad-host")
	got := lines.All()
	if len(got) != 1 {
		t.Fatalf("%d lines", len(got))
	}
	fields := got[0].ContextMap()
	if fields["client"] != "192.0.2.7" || fields["status"] != int64(400) || fields["error"] != "bad-host" || fields["use"] != "bypass" {
		t.Errorf("%v", fields)
	}
	if requests := d.Stats().Requests; len(requests) != 1 || requests[0].Class != "4xx" || requests[0].Count != 1 {
		t.Errorf("%v", requests)
	}
}
