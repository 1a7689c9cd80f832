package rfc9111_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/rfc9111"
)

// arrival is when the responses of these tests arrive.
var arrival = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// header makes a header of "Name: value" lines.
func header(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// get is a GET with the given fields.
func get(lines ...string) rfc9111.Request {
	return rfc9111.Request{Method: "GET", Header: header(lines...)}
}

// response is one that arrives at once, with a Date.
func response(status int, lines ...string) *rfc9111.Response {
	h := header(lines...)
	if _, ok := h["Date"]; !ok {
		h.Set("Date", arrival.Format(http.TimeFormat))
	}
	return &rfc9111.Response{Status: status, Header: h, RequestTime: arrival, ResponseTime: arrival, Length: -1}
}

// dateless is a response without the Date that response adds.
func dateless(lines ...string) *rfc9111.Response {
	r := response(200, lines...)
	delete(r.Header, "Date")
	return r
}

// stored is a response as a store holds it, or a failed test.
func stored(t testing.TB, req rfc9111.Request, rules *rfc9111.Rules, lines ...string) *rfc9111.Response {
	t.Helper()
	r := response(200, lines...)
	s := rfc9111.Storable(req, r, rules)
	if !s.Store {
		t.Fatalf("not stored: %s: %s", s.Status, s.Reason)
	}
	r.Terms, r.Selection = s.Terms, s.Selection
	delete(r.Header, "Age")
	return r
}

// date is a time relative to arrival, as a field value.
func date(d time.Duration) string { return arrival.Add(d).Format(http.TimeFormat) }

func ptr(d time.Duration) *time.Duration { return &d }
