package peer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/api/peer"
	"weir/keying"
	"weir/policy"
	"weir/shield"
)

// Requests that wait for a hand-over to a shield that is silent wait for the same one.
func TestDebtsToASilentShieldKeepNobodyLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent sync.WaitGroup
		purges := shield.NewFollower()
		if _, err := purges.Add(shield.URLRule(keying.Base("http", "example.com", "/a"))); err != nil {
			t.Fatal(err)
		}
		c, err := peer.NewClient(peer.ClientOptions{
			URLs: []string{"http://127.0.0.1:1"}, Purges: purges,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				there, here := net.Pipe()
				silent.Go(func() { _, _ = io.Copy(io.Discard, there) })
				return here, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		fetch := func() {
			_, err := c.Fetch(t.Context(), &policy.Request{Method: http.MethodGet, Scheme: "http", Host: "example.com", Target: "/a", Plan: &policy.Plan{}})
			if !errors.Is(err, shield.ErrParent) {
				t.Errorf("%v", err)
			}
		}
		began := time.Now()
		var clients sync.WaitGroup
		for range 40 {
			clients.Go(fetch)
		}
		clients.Wait()
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("40 requests took %s", took)
		}
		time.Sleep(time.Second)
		clients.Go(fetch) // looks whether it is back
		synctest.Wait()
		began = time.Now()
		fetch()
		if took := time.Since(began); took > 0 {
			t.Errorf("one more took %s", took)
		}
		began = time.Now()
		c.Close()
		if took := time.Since(began); took > 0 {
			t.Errorf("closing took %s", took)
		}
		clients.Wait()
		silent.Wait()
	})
}
