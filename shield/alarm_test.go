package shield_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/policy"
	"weir/shield"
)

// Whoever waits for a deaf fetch is let go when its own limit is reached, in whatever order the limits come.
func TestLimitsOfManyFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heads := []int{30, 5, 60, 5, 10, 90} // seconds
		var origins, routes string
		for i, head := range heads {
			origins += fmt.Sprintf(`, "o%d": {"url": "http://origin.test", "headerTimeoutMs": %d, "totalTimeoutMs": 70000}`, i, head*1000)
			routes += fmt.Sprintf(`, {"name": "r%[1]d", "match": {"path": "/%[1]d"}, "origin": "o%[1]d"}`, i)
		}
		d := deaf{until: make(chan struct{})}
		s := start(t, options{
			policy: fmt.Sprintf(`{"origins": {%s}, "defaults": {"origin": "o0"}, "routes": [%s]}`, origins[2:], routes[2:]),
			shield: shield.Options{Transport: func(*policy.Origin, policy.Upstream) http.RoundTripper { return d }},
		})
		var all sync.WaitGroup
		for i, head := range heads {
			time.Sleep(100 * time.Millisecond)
			all.Go(func() {
				began, want := time.Now(), time.Duration(min(head+1, 70))*time.Second
				r := s.get("/" + number(i))
				if took := time.Since(began); took != want || !errors.Is(r.err, shield.ErrOriginTimeout) {
					t.Errorf("%d: %v after %s, want %s", i, r.err, took, want)
				}
			})
		}
		all.Wait()
		close(d.until)
		s.close()
	})
}
