package shield_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/shield"
)

// However many flights there were at once, and however they ended, no more goroutines than
// were meant to wait for the next, and none after Close.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			if r.URL.RequestURI() == "/1" {
				panic("flight")
			}
			return respond(200, r.URL.RequestURI(), "Cache-Control", "no-store"), nil
		})
		for range 3 {
			for i, r := range many(shield.MostIdle+50, func(i int) result { return s.get("/" + number(i)) }) {
				if want := "/" + number(i); i != 1 && (r.err != nil || r.body != want) || i == 1 && r.err == nil {
					t.Errorf("%s is %q, %v", want, r.body, r.err)
				}
			}
			synctest.Wait()
			if n := s.shield.Idle(); n != shield.MostIdle {
				t.Errorf("%d wait, want %d", n, shield.MostIdle)
			}
		}
		s.close()
	})
}
