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
		shields := make(chan net.Conn, 1)
		shieldEnd, edgeEnd := net.Pipe()
		shields <- edgeEnd
		go lagging(t, shieldEnd, log)
		c, err := peer.NewClient(peer.ClientOptions{
			URLs: []string{"http://127.0.0.1:1"}, Purges: shield.NewFollower(),
			Dial: func(context.Context, string, string) (net.Conn, error) {
				select {
				case conn := <-shields:
					return conn, nil
				default:
					return nil, errors.New("no way")
				}
			},
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
