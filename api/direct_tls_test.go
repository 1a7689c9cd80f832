package api_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/api"
)

// TLS must survive that a client is watched while its answer is made, however little of its next request has come by then.
func TestDirectAnswersOverTLS(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	config := certified.TLS.Clone()
	certified.Close()
	config.NextProtos = []string{"http/1.1"}
	for _, half := range []int{0, 1, 10} { // bytes of a record that come early
		synctest.Test(t, func(t *testing.T) {
			var left error
			s := lasting(time.Minute, &left)
			d := newDoor(t, s, "", api.DoorOptions{})
			inner, outer := net.Pipe()
			slow := &slowly{Conn: outer}
			client := tls.Client(slow, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nobody else is there
			server := api.NewServer(http.NotFoundHandler(), nil)
			served := make(chan struct{})
			go func() {
				defer close(served)
				guarded := api.Guard(newOnceThenClosed(tls.Server(inner, config), nil), api.GuardOptions{Hits: api.NewHits(d, empty{})})
				_ = server.Serve(guarded)
			}()
			r := bufio.NewReader(client)
			send(t, client, get("/0"))
			for i := range 3 {
				target := "/" + string(rune('0'+i))
				next := "/" + string(rune('1'+i))
				time.Sleep(30 * time.Second)
				go func() {
					time.Sleep(28 * time.Second)
					slow.first.Store(int64(half))
					send(t, client, get(next)) // its end comes after the answer
				}()
				if status, body := readAnswer(t, r, "GET"); status != 200 || body != target || left != nil {
					t.Fatalf("%d %q, %v", status, body, left)
				}
				time.Sleep(10 * time.Second)
			}
			for _, req := range s.requests() {
				if req.Scheme != "https" {
					t.Errorf("scheme %s", req.Scheme)
				}
			}
			_ = client.Close()
			_ = server.Close()
			<-served
			time.Sleep(5 * time.Second) // for what the last request began
		})
	}
}

// slowly writes the first bytes, and the others five seconds later.
type slowly struct {
	net.Conn
	first atomic.Int64
}

func (s *slowly) Write(p []byte) (int, error) {
	if n := int(s.first.Swap(0)); n > 0 && n < len(p) {
		if n, err := s.Conn.Write(p[:n]); err != nil {
			return n, err
		}
		time.Sleep(5 * time.Second)
		m, err := s.Conn.Write(p[n:])
		return n + m, err
	}
	return s.Conn.Write(p)
}
