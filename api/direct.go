package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// serveDirectly has the door answer the plain request whose head is buf. more says that bytes of the
// next request are there already.
func (c *guardConn) serveDirectly(h *head, buf []byte, more bool) error {
	w := replies.Get().(*reply)
	defer w.free()
	ctx, cancel := context.WithCancel(context.Background())
	w.conn, w.cancel, w.silent = c, cancel, len(h.method) == len(http.MethodHead)
	r := c.request(h, buf)
	if err := c.runDoor(w, r.WithContext(ctx), more); err != nil {
		_ = c.close() // what is missing of the answer must be seen to be missing
		return err
	}
	return w.finish()
}

// runDoor returns an error if the answer must not be taken for a whole one.
func (c *guardConn) runDoor(w *reply, r *http.Request, more bool) (err error) {
	defer w.cancel()
	if !more { // or a client that left could not be told from one that sends on
		c.absence.begin(c, w.cancel)
		defer c.absence.end(c)
	}
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = io.EOF // nothing that net/http would answer to
		default:
			panic(p)
		}
	}()
	c.opts.Hits.door.ServeHTTP(w, r)
	return nil
}

// request is what net/http would make of a plain head, except for URL, which the door does not look at.
func (c *guardConn) request(h *head, buf []byte) http.Request {
	if c.remote == "" {
		c.remote = c.RemoteAddr().String()
	}
	r := http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		RequestURI: string(h.target), Body: http.NoBody, RemoteAddr: c.remote,
	}
	if len(h.method) == len(http.MethodHead) {
		r.Method = http.MethodHead
	}
	r.Host, r.Header = fieldsOf(string(buf), h.fields)
	if inner, ok := c.Conn.(*tls.Conn); ok {
		state := inner.ConnectionState()
		r.TLS = &state
	}
	return r
}

// fieldsOf returns what a head of n field lines says that has passed, as net/http would.
func fieldsOf(head string, n int) (host string, h http.Header) {
	h, values := make(http.Header, n-1), make([]string, 0, n-1) // Host is not among them
	_, rest, _ := strings.Cut(head, "\r\n")
	for range n {
		var line string
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		name, value = http.CanonicalHeaderKey(name), strings.Trim(value, " \t")
		if name == "Host" {
			host = value
			continue
		}
		if others, ok := h[name]; ok {
			h[name] = append(others, value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return host, h
}

// absence notices a client that leaves before it has its answer. To look for that costs more than most
// answers take, so it begins only when one takes long.
type absence struct {
	cancel   context.CancelFunc // of the request
	timer    *time.Timer
	watching sync.WaitGroup

	mu   sync.Mutex // guards over, and the read deadline against it
	over bool       // nobody is to be watched any more
}

// unwatched is how long an answer takes before anybody looks whether its client is still there.
const unwatched = 20 * time.Millisecond

func (a *absence) begin(c *guardConn, cancel context.CancelFunc) {
	a.cancel, a.over = cancel, false
	a.watching.Add(1)
	if a.timer == nil {
		a.timer = time.AfterFunc(unwatched, func() { a.watch(c) })
	} else {
		a.timer.Reset(unwatched)
	}
}

func (a *absence) watch(c *guardConn) {
	defer a.watching.Done()
	a.mu.Lock()
	over := a.over
	if !over {
		_ = c.SetReadDeadline(time.Time{}) // the one in force was for the head
	}
	a.mu.Unlock()
	if over {
		return
	}
	if err := c.watch(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		a.cancel()
	}
}

// end waits for the one who watches.
func (a *absence) end(c *guardConn) {
	if a.timer.Stop() {
		a.watching.Done()
		return
	}
	a.mu.Lock()
	a.over = true
	_ = c.SetReadDeadline(time.Unix(1, 0)) // ends the watch
	a.mu.Unlock()
	a.watching.Wait()
	_ = c.SetReadDeadline(time.Time{})
	c.hits.idle = time.Time{}
}
