package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// switchProtocols passes on a 101 and then copies both ways until both sides are
// done, nothing has moved for a while, or the door is closed, RFC 9110 7.8.
func (x *exchange) switchProtocols(req *policy.Request, ans *rfc9111.Answer) {
	backend, ok := ans.Body.(io.ReadWriteCloser)
	if !ok || x.upgrade == "" {
		// A switch that nobody asked for would leave the client reading another
		// protocol's bytes as HTTP.
		x.fail(fmt.Errorf("%w: 101 without a request for it", shield.ErrOriginProtocol))
		return
	}
	conn, buffered, err := x.rc.Hijack()
	if err != nil {
		x.fail(fmt.Errorf("take over the connection: %w", err))
		return
	}
	x.wrote, x.record.Status = true, http.StatusSwitchingProtocols
	u := &upgrade{client: conn, backend: backend, idle: x.door.opts.UpgradeIdle}
	if !x.door.upgrades.add(u) {
		u.close()
		return
	}
	defer x.door.upgrades.remove(u)
	if err := x.writeSwitch(conn, req, ans); err != nil {
		u.close()
		x.record.Aborted, x.record.Err = true, err
		return
	}
	x.record.Bytes = u.run(buffered.Reader)
}

// writeSwitch writes the 101 itself; the connection is no longer net/http's.
func (x *exchange) writeSwitch(conn net.Conn, req *policy.Request, ans *rfc9111.Answer) error {
	h := http.Header{}
	for name, values := range ans.Head.Header {
		if !isHopByHop(name) && name != "Content-Length" {
			h[name] = slices.Clip(values)
		}
	}
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", x.upgrade)
	if chosen := ans.Head.Header.Get("Upgrade"); chosen != "" {
		h.Set("Upgrade", chosen)
	}
	h.Add("Via", via)
	ans.Decision.Apply(h, x.door.opts.Region)
	if x.sticky != nil {
		h.Add("Set-Cookie", x.sticky.String())
	}
	if err := conn.SetDeadline(time.Now().Add(x.door.opts.WriteTimeout)); err != nil {
		return err
	}
	w := bufio.NewWriter(conn)
	_, _ = w.WriteString("HTTP/1.1 101 Switching Protocols\r\n") // Flush has the error
	_ = h.Write(w)
	_, _ = w.WriteString("\r\n")
	if err := w.Flush(); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// upgrade is one connection after the switch.
type upgrade struct {
	client  net.Conn
	backend io.ReadWriteCloser
	idle    time.Duration
	once    sync.Once
}

// run copies until both directions are over, and returns how many bytes went to
// the client. from holds what the client sent right after its request.
func (u *upgrade) run(from *bufio.Reader) int64 {
	timer := time.AfterFunc(u.idle, u.close)
	defer timer.Stop()
	moved := func() { timer.Reset(u.idle) }
	up := make(chan struct{})
	go func() {
		defer close(up)
		u.pump(u.backend, from, moved)
	}()
	n := u.pump(u.client, u.backend, moved)
	<-up
	u.close()
	return n
}

// pump copies one direction. Its end is passed on as a half-close where the other
// side can take one; a failure ends both directions.
func (u *upgrade) pump(dst io.Writer, src io.Reader, moved func()) int64 {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	total := int64(0)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			moved()
			wrote, err := dst.Write(buf[:n])
			total += int64(wrote)
			if err != nil {
				u.close()
				return total
			}
			moved()
		}
		if err == nil {
			continue
		}
		half, ok := dst.(interface{ CloseWrite() error })
		if !errors.Is(err, io.EOF) || !ok || half.CloseWrite() != nil {
			u.close()
		}
		return total
	}
}

func (u *upgrade) close() {
	u.once.Do(func() { // either side may be gone already, which is what is wanted
		_ = u.client.Close()
		_ = u.backend.Close()
	})
}

// upgrades are the upgraded connections of a door.
type upgrades struct {
	mu     sync.Mutex // guards open and closed
	open   map[*upgrade]struct{}
	closed bool
	wait   sync.WaitGroup
}

func (s *upgrades) add(u *upgrade) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[u] = struct{}{}
	s.wait.Add(1)
	return true
}

func (s *upgrades) remove(u *upgrade) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, u)
	s.wait.Done()
}

func (s *upgrades) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.open))
}

func (s *upgrades) closeAll() {
	s.mu.Lock()
	s.closed = true
	for u := range s.open {
		u.close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}
