package peer_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/api/peer"
	"weir/shield"
)

// lagging is a shield at the end of a pipe whose beats repeat the first stamp for ever, as
// those of a stream do that are long on their way.
func lagging(t *testing.T, conn net.Conn, log *shield.Purges) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil || req.URL.Path != peer.PathLog {
		t.Errorf("%v, %v", req, err)
		return
	}
	stamp, err := strconv.ParseUint(req.URL.Query().Get("stamp"), 10, 64)
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: weir-log\r\n\r\n")
	go func() { _, _ = io.Copy(io.Discard, r) }()
	b := log.Since(shield.LogID{}, 0)
	_, _ = conn.Write(peer.AppendFrame([]byte{peer.FrameBatch}, b.Encode()))
	for err == nil {
		beat := binary.AppendUvarint(binary.AppendUvarint(nil, b.Epoch), stamp)
		_, err = conn.Write(peer.AppendFrame([]byte{peer.FrameBeat}, beat))
		time.Sleep(time.Second)
	}
}

// A beat says what was so when it was sent for: one that comes late does not make an edge
// see what happened since.
func TestLateBeatsDoNotHelpABlindEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := shield.NewPurges(nil)
		if err != nil {
			t.Fatal(err)
		}
		shieldEnd, edgeEnd := net.Pipe()
		go lagging(t, shieldEnd, log)
		c, err := peer.NewClient(peer.ClientOptions{
			URLs: []string{"http://127.0.0.1:1"}, Purges: shield.NewFollower(),
			Dial: dialOnce(edgeEnd),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		time.Sleep(4 * time.Second)
		if s := c.Sight(ctx, time.Now(), 0); s.Blind {
			t.Errorf("after four seconds: %+v", s)
		}
		time.Sleep(2 * time.Second)
		if s := c.Sight(ctx, time.Now(), 0); !s.Blind {
			t.Error("sees after six seconds without news")
		}
		stop()
		<-done
		c.Close()
		_ = shieldEnd.Close()
		time.Sleep(2 * time.Second)
	})
}

// While a long batch comes over a slow link the shield hears that it is taken, or it would
// give the edge up and begin anew for ever.
func TestAnEdgeIsHeardWhileABatchComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := shield.NewPurges(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Add(shield.TagRule("a"), shield.TagRule("b")); err != nil {
			t.Fatal(err)
		}
		shieldEnd, edgeEnd := net.Pipe()
		follower := shield.NewFollower()
		c, err := peer.NewClient(peer.ClientOptions{
			URLs: []string{"http://127.0.0.1:1"}, Purges: follower,
			Dial: func(context.Context, string, string) (net.Conn, error) { return edgeEnd, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		r := bufio.NewReader(shieldEnd)
		if _, err := http.ReadRequest(r); err != nil {
			t.Fatal(err)
		}
		words := make(chan struct{}, 1000)
		go func() {
			for {
				if _, err := binary.ReadUvarint(r); err != nil {
					return
				}
				words <- struct{}{}
			}
		}()
		_, _ = io.WriteString(shieldEnd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: weir-log\r\n\r\n")
		b := log.Since(shield.LogID{}, 0)
		frame := peer.AppendFrame([]byte{peer.FrameBatch}, b.Encode())
		for i := range frame {
			time.Sleep(time.Second)
			_, _ = shieldEnd.Write(frame[i : i+1])
		}
		synctest.Wait()
		if seconds := len(frame); len(words) < seconds {
			t.Errorf("%d words in %d s", len(words)/2, seconds)
		}
		if follower.Current() != log.Current() {
			t.Errorf("the edge is at %d", follower.Current())
		}
		stop()
		<-done
		c.Close()
		_ = shieldEnd.Close()
	})
}

// Who cannot wait asks nobody, or those behind it would wait for a question of no use to them.
func TestWhoCannotWaitAsksNoShield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		c, err := peer.NewClient(peer.ClientOptions{
			URLs: []string{"http://127.0.0.1:1"}, Purges: shield.NewFollower(),
			Dial: func(context.Context, string, string) (net.Conn, error) {
				dials.Add(1)
				return nil, errors.New("no way")
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		gone, leave := context.WithCancel(t.Context())
		leave()
		s := c.Sight(gone, time.Now().Add(time.Hour), 0)
		synctest.Wait()
		if !s.Blind || dials.Load() != 0 {
			t.Errorf("%+v after %d questions", s, dials.Load())
		}
	})
}

// dialOnce is a way that leads to conn, and after that nowhere.
func dialOnce(conn net.Conn) func(context.Context, string, string) (net.Conn, error) {
	shields := make(chan net.Conn, 1)
	shields <- conn
	return func(context.Context, string, string) (net.Conn, error) {
		select {
		case conn := <-shields:
			return conn, nil
		default:
			return nil, errors.New("no way")
		}
	}
}
