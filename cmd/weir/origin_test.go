package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// scripted is an origin that answers each path as a test says and remembers what
// it was asked.
type scripted struct {
	*httptest.Server
	clock *clock

	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	asked map[string][]*http.Request // by path; bodies are read
}

func newScripted(t *testing.T, c *clock) *scripted {
	t.Helper()
	s := &scripted{clock: c, pages: make(map[string]http.HandlerFunc), asked: make(map[string][]*http.Request)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// page says how a path is answered from now on.
func (s *scripted) page(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = h
}

// text is a page with one body and header fields, written "name: value".
func (s *scripted) text(path, body string, fields ...string) {
	s.page(path, func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Add(name, value)
		}
		_, _ = io.WriteString(w, body)
	})
}

// requests are those that a path has had.
func (s *scripted) requests(path string) []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.asked[path]...)
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	page := s.pages[r.URL.Path]
	s.asked[r.URL.Path] = append(s.asked[r.URL.Path], r)
	s.mu.Unlock()
	w.Header().Set("Date", s.clock.Now().UTC().Format(http.TimeFormat))
	if page == nil {
		http.Error(w, fmt.Sprintf("no page %s", r.URL.Path), http.StatusNotFound)
		return
	}
	page(w, r)
}
