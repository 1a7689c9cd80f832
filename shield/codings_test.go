package shield_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// negotiates is an origin that sends gzip to whoever accepts it.
func negotiates(fields ...string) handler {
	return func(r *http.Request) (*http.Response, error) {
		if fitting := r.Header.Get("Accept-Encoding"); fitting == "gzip" || fitting == "br, gzip, zstd" {
			return respond(200, "coded", append(fields, "Content-Encoding", "gzip")...), nil
		}
		return respond(200, "plain", fields...), nil
	}
}

// tell admits a request as the door does on routes that make codings: tiers see the
// Accept-Encoding that is forwarded.
func (s *setup) tell(target string, fields ...string) *policy.Request {
	req := s.request(target, fields...)
	if req.Bypass == "" && req.Plan.Key.Recoded {
		req.Header.Set("Accept-Encoding", req.Keyed.AcceptEncoding)
	}
	return req
}

func TestClientsOfAllCodingsShareAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		release := make(chan struct{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			<-release
			return negotiates("Cache-Control", cacheable, "Vary", "Accept-Encoding")(r)
		})
		accepted := []string{"", "gzip", "br", "identity;q=0", "deflate"}
		results := make(chan result, len(accepted))
		for _, a := range accepted {
			go func() { results <- s.fetch(t.Context(), s.tell("/", "Accept-Encoding", a)) }()
		}
		synctest.Wait()
		close(release)
		for range accepted {
			if r := <-results; r.body != "coded" || r.decision.Use != rfc9111.Miss {
				t.Errorf("%q, %s, %v", r.body, r.decision.Use, r.err)
			}
		}
		s.wantOrigin(1)
		r := s.fetch(t.Context(), s.tell("/", "Accept-Encoding", "zstd"))
		r.want(t, "coded", rfc9111.Hit, rfc9111.StatusOK)
		s.wantOrigin(1)
	})
}

// What may not be transformed goes to clients that accept its coding. Others ask alone.
func TestAnswersThatFitNotEveryClient(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fields []string
		ask    []string
		body   string // for a client of no coding
		alone  bool
	}{
		{"may be decoded", nil, nil, "coded", false},
		{"no-transform", []string{"Cache-Control", "no-transform"}, nil, "plain", true},
		{"no-transform of the client", nil, []string{"Cache-Control", "no-transform"}, "plain", true},
		{"digested", []string{"Repr-Digest", "sha-256=:AA==:"}, nil, "plain", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, options{})
			s.origin.answer(negotiates(append(tt.fields, "Cache-Control", cacheable, "Vary", "Accept-Encoding")...))
			want := 0
			for _, round := range []string{"cold", "warm"} {
				for _, target := range []string{"/", "HEAD /"} {
					before := s.origin.count()
					r := s.fetch(t.Context(), s.tell(target, tt.ask...))
					if target == "/" && (r.body != tt.body || r.err != nil) {
						t.Errorf("%s: %q, %v", round, r.body, r.err)
					}
					if coded := r.header.Get("Content-Encoding") != ""; coded == tt.alone {
						t.Errorf("%s %s: %v", round, target, r.header)
					}
					if tt.alone && (r.decision.Forward != rfc9111.ForwardVary || r.decision.Detail != "coding" || r.decision.Status != rfc9111.StatusPass) {
						t.Errorf("%s %s: %+v", round, target, r.decision)
					}
					switch asked := s.origin.count() - before; {
					case !tt.alone && round == "warm" && asked != 0, tt.alone && round == "warm" && asked != 1:
						t.Errorf("%s %s: %d origin requests", round, target, asked)
					}
				}
				want = s.origin.count()
				r := s.fetch(t.Context(), s.tell("/", "Accept-Encoding", "gzip"))
				r.want(t, "coded", rfc9111.Hit, rfc9111.StatusOK)
				s.wantOrigin(want)
			}
			if tt.alone {
				r := s.fetch(t.Context(), s.tell("/", "Cache-Control", "no-transform, only-if-cached"))
				if !errors.Is(r.err, shield.ErrOnlyIfCached) {
					t.Errorf("only-if-cached: %q, %v", r.body, r.err)
				}
				s.wantOrigin(want)
			}
		})
	}
}

// A coding that nobody was asked for, and that Accept-Encoding does not choose, is sent to
// all: whoever asked alone would get it, too.
func TestCodingsThatNobodyAskedFor(t *testing.T) {
	for _, tt := range []struct {
		coding, vary, accepted string
		requests               int
	}{
		{"aws-chunked", "", "gzip", 1},
		{"deflate", "", "", 1},
		{"deflate", "Accept-Encoding", "deflate", 1},
		{"deflate", "Accept-Encoding", "", 3},
		{"deflate", "Accept-Encoding", "*;q=0", 3},
		{"identity, gzip", "", "gzip", 1},
		{"identity, gzip", "", "br", 1}, // one coding, spelled badly
		{"gzip, gzip", "", "gzip", 1},
		{"gzip, br", "", "gzip", 3},
	} {
		t.Run(tt.coding+" to "+tt.accepted, func(t *testing.T) {
			s := start(t, options{})
			s.origin.answer(always(200, "body", "Cache-Control", cacheable, "Content-Encoding", tt.coding, "Vary", tt.vary))
			for range 2 {
				if r := s.fetch(t.Context(), s.tell("/", "Accept-Encoding", tt.accepted)); r.err != nil || r.body != "body" {
					t.Fatalf("%q, %v", r.body, r.err)
				}
			}
			s.wantOrigin(tt.requests)
		})
	}
}

// While a page is known to be for each client alone, clients are asked for one by one, in
// the codings that each of them accepts.
func TestHitForPassAsksInTheClientsCoding(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(negotiates("Cache-Control", "private"))
	first := s.fetch(t.Context(), s.tell("/"))
	if first.body != "coded" || s.origin.last().Header.Get("Accept-Encoding") != "br, gzip, zstd" {
		t.Errorf("%q: %v", first.body, s.origin.last().Header)
	}
	for accepted, want := range map[string]string{"": "plain", "br": "plain", "gzip;q=0.5": "coded", "gzip, br, zstd": "coded"} {
		r := s.fetch(t.Context(), s.tell("/", "Accept-Encoding", accepted))
		r.want(t, want, rfc9111.Miss, rfc9111.StatusPrivate)
	}
}

// An answer to one client's codings is not stored where Accept-Encoding chose it: it
// would be found by those whose codings would have chosen another.
func TestAnAnswerInTheClientsCodingIsNotStored(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(negotiates("Cache-Control", "private"))
	s.fetch(t.Context(), s.tell("/"))
	s.origin.answer(negotiates("Cache-Control", cacheable, "Vary", "Accept-Encoding"))
	s.fetch(t.Context(), s.tell("/")).want(t, "plain", rfc9111.Miss, rfc9111.StatusPass)
	s.fetch(t.Context(), s.tell("/")).want(t, "coded", rfc9111.Miss, rfc9111.StatusOK)
	s.fetch(t.Context(), s.tell("/", "Accept-Encoding", "gzip")).want(t, "coded", rfc9111.Hit, rfc9111.StatusOK)
	s.wantOrigin(3)
}

// Something that is to be validated was chosen by the key's codings, and so is its successor.
func TestValidationAsksInTheKeysCoding(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("If-None-Match") == `"coded"` && r.Header.Get("Accept-Encoding") == "br, gzip, zstd" {
			return respond(304, "", "Etag", `"coded"`, "Cache-Control", "no-cache"), nil
		}
		return negotiates("Cache-Control", "no-cache", "Vary", "Accept-Encoding", "Etag", `"coded"`)(r)
	})
	for range 3 {
		if r := s.fetch(t.Context(), s.tell("/")); r.body != "coded" || r.err != nil {
			t.Errorf("%q, %v", r.body, r.err)
		}
	}
	if got := s.shield.Stats().Validated; got != 2 {
		t.Errorf("%d validations", got)
	}
}
