package shield_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/policy"
	"weir/shield"
)

// Whoever waits for a deaf fetch is let go when its limit is reached, even if the shield has been closed meanwhile.
func TestLimitsOfFlightsThatAreLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deaf{until: make(chan struct{})}
		s := start(t, options{
			policy: `{"origins": {"o": {"url": "http://origin.test", "headerTimeoutMs": 5000}}, "defaults": {"origin": "o"}}`,
			shield: shield.Options{Transport: func(*policy.Origin, policy.Upstream) http.RoundTripper { return d }},
		})
		done := make(chan error)
		go func() { done <- s.get("/").err }()
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.shield.Close(ended); err == nil {
			t.Error("closed without an error")
		}
		select {
		case err := <-done:
			if !errors.Is(err, shield.ErrOriginTimeout) {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("it still waits")
		}
		close(d.until)
		synctest.Wait()
	})
}
