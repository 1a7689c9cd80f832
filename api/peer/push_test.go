package peer_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"weir/api/peer"
	"weir/kv"
	"weir/shield"
)

func fullPushes() *peer.Pushes {
	now := time.Unix(1e9, 0)
	v := &kv.Value{
		Bytes: []byte("abc"), Type: "a/b", Metadata: []byte("1"), Tags: []string{"t"}, Version: 4, Epoch: 5,
		Written: now.Add(-time.Minute), Fresh: now.Add(time.Second), Until: now.Add(time.Hour),
	}
	return &peer.Pushes{
		Log: shield.LogID{1, 2, 3}, Stamp: 9, Held: time.Second,
		Keys: []peer.Push{
			peer.PushOf(kv.Pushed{Key: "user:42/ü", Value: v, Epoch: 5}, now),
			peer.PushOf(kv.Pushed{Key: "gone", Epoch: 6}, now),
			peer.PushOf(kv.Pushed{Key: "empty", Value: &kv.Value{Bytes: []byte{}, Version: 6, Written: now}, Epoch: 7}, now),
		},
	}
}

func TestPushesCodec(t *testing.T) {
	got, err := peer.DecodePushes(fullPushes().Encode())
	if err != nil || !reflect.DeepEqual(got, fullPushes()) {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range fullPushes().Encode() {
		if _, err := peer.DecodePushes(fullPushes().Encode()[:i]); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("pushes of %d bytes: %v", i, err)
		}
	}
	for name, spoil := range map[string]func(*peer.Pushes){
		"no stamp":       func(p *peer.Pushes) { p.Stamp = 0 },
		"from before":    func(p *peer.Pushes) { p.Held = -1 },
		"no key":         func(p *peer.Pushes) { p.Keys[1].Key = "" },
		"no epoch":       func(p *peer.Pushes) { p.Keys[1].Epoch = 0 },
		"no version":     func(p *peer.Pushes) { p.Keys[0].Found.Value.Version = 0 },
		"not looked up":  func(p *peer.Pushes) { p.Keys[1].Found.Later = true },
		"more than sent": func(p *peer.Pushes) { p.Keys[2].Found.Size = 1 },
	} {
		p := fullPushes()
		spoil(p)
		if _, err := peer.DecodePushes(p.Encode()); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A push is counted with no fewer bytes than it takes.
func TestSizeOfPushes(t *testing.T) {
	p, sum := fullPushes(), 0
	for i := range p.Keys {
		sum += p.Keys[i].Size()
	}
	if n := len(p.Encode()); n > sum {
		t.Errorf("%d bytes are counted as %d", n, sum)
	}
}

// pushing is a client whose shield the test plays. What it sends after the first batch is of
// the log that is returned; stamp is the client's first.
func pushing(t *testing.T, took chan<- kv.Pushed) (conn net.Conn, log *shield.Purges, stamp uint64, reports <-chan error) {
	t.Helper()
	log, err := shield.NewPurges(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Announce("k"); err != nil {
		t.Fatal(err)
	}
	shieldEnd, edgeEnd := net.Pipe()
	troubles := make(chan error, 100)
	c, err := peer.NewClient(peer.ClientOptions{
		URLs: []string{"http://127.0.0.1:1"}, Purges: shield.NewFollower(),
		Pushed: func(p kv.Pushed) { took <- p },
		Report: func(err error) { troubles <- err },
		Dial:   dialOnce(edgeEnd),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done; c.Close(); _ = shieldEnd.Close() })
	r := bufio.NewReader(shieldEnd)
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	stamp, err = strconv.ParseUint(req.URL.Query().Get("stamp"), 10, 64)
	if err != nil || req.URL.Query().Get("values") != "1" {
		t.Fatal(req.URL, err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	_, _ = io.WriteString(shieldEnd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: weir-log\r\n\r\n")
	b := log.Since(shield.LogID{}, 0)
	_, _ = shieldEnd.Write(peer.AppendFrame([]byte{peer.FrameBatch}, b.Encode()))
	return shieldEnd, log, stamp, troubles
}

// A value that was long on its way is of no use to those who may not use what is as old as that.
func TestALatePushIsNotHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := make(chan kv.Pushed, 10)
		conn, log, stamp, _ := pushing(t, took)
		push := func() {
			p := peer.Pushes{Log: log.ID(), Stamp: stamp, Keys: []peer.Push{peer.PushOf(kv.Pushed{Key: "k", Epoch: log.Current()}, time.Now())}}
			_, _ = conn.Write(peer.AppendFrame([]byte{peer.FramePush}, p.Encode()))
			synctest.Wait()
		}
		push()
		if len(took) != 1 {
			t.Error("it is not handed on")
		}
		for range 4 {
			time.Sleep(1300 * time.Millisecond)
			beat := binary.AppendUvarint(binary.AppendUvarint(nil, log.Current()), 0)
			_, _ = conn.Write(peer.AppendFrame([]byte{peer.FrameBeat}, beat))
		}
		push()
		if len(took) != 1 {
			t.Error("it is handed on after five seconds")
		}
	})
}

// What no shield sends ends the stream before it takes memory, and the client says why.
func TestPushesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, _, reports := pushing(t, nil)
		_, _ = conn.Write(binary.AppendUvarint([]byte{peer.FramePush}, 1<<20))
		synctest.Wait()
		select {
		case err := <-reports:
			if !errors.Is(err, peer.ErrMalformed) {
				t.Error(err)
			}
		default:
			t.Error("a megabyte of values is waited for")
		}
	})
}

func FuzzPushes(f *testing.F) {
	f.Add(fullPushes().Encode())
	f.Add((&peer.Pushes{Stamp: 1}).Encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := peer.DecodePushes(src)
		if err != nil {
			return
		}
		again, err := peer.DecodePushes(p.Encode())
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("%+v, %+v, %v", p, again, err)
		}
	})
}
