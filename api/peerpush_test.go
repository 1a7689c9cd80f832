package api_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"weir/api/peer"
	"weir/kv"
	"weir/shield"
)

// listener is an edge that reads frames and says what the test tells it to.
type listener struct {
	t     *testing.T
	conn  net.Conn
	from  *bufio.Reader
	epoch uint64
}

// listen follows the log of a pair from where it is now. query is what an edge says of itself.
func (p *pair) listen(query string) *listener {
	p.t.Helper()
	return p.listenFrom(p.log.Current(), query)
}

// listenFrom follows the log from an epoch.
func (p *pair) listenFrom(epoch uint64, query string) *listener {
	p.t.Helper()
	conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	id := p.log.ID()
	l := &listener{t: p.t, conn: conn, from: bufio.NewReader(conn), epoch: epoch}
	_, err = fmt.Fprintf(conn, "GET %s?region=lhr&node=x&stamp=1&log=%s&after=%d%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n",
		peer.PathLog, hex.EncodeToString(id[:]), l.epoch, query, peer.LogProtocol)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.ReadResponse(l.from, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	return l
}

func (l *listener) frame() (kind byte, frame []byte) {
	l.t.Helper()
	kind, err := l.from.ReadByte()
	if err != nil {
		l.t.Fatal(err)
	}
	if frame, err = peer.ReadFrame(l.from, peer.MaxBatch); err != nil {
		l.t.Fatal(err)
	}
	return kind, frame
}

// until reads frames until one says that the log has come to an epoch, and returns all values.
func (l *listener) until(epoch uint64) (values []peer.Push) {
	l.t.Helper()
	for l.epoch < epoch {
		kind, frame := l.frame()
		switch kind {
		case peer.FrameBatch:
			if _, err := shield.DecodeBatch(frame); err != nil {
				l.t.Fatal(err)
			}
		case peer.FramePush:
			p, err := peer.DecodePushes(frame)
			if err != nil {
				l.t.Fatal(err)
			}
			values = append(values, p.Keys...)
		case peer.FrameBeat:
			l.epoch, _ = binary.Uvarint(frame)
		default:
			l.t.Fatalf("frame %q", kind)
		}
	}
	return values
}

// say acknowledges what was read.
func (l *listener) say() {
	l.t.Helper()
	if _, err := l.conn.Write(append(binary.AppendUvarint(nil, l.epoch), 1)); err != nil {
		l.t.Fatal(err)
	}
}

// announced is a pair of which the shield has a value, and tells of it.
func announced(t *testing.T) (*pair, func(key string, size int) uint64) {
	t.Helper()
	store := newFakeStore(time.Now)
	p := newPair(t, pairOptions{values: store}, func(http.ResponseWriter, *http.Request) {})
	return p, func(key string, size int) uint64 {
		t.Helper()
		if _, err := store.Set(t.Context(), key, kv.Draft{Bytes: make([]byte, size), Tags: []string{"red"}, TTL: time.Minute}, kv.Condition{}); err != nil {
			t.Fatal(err)
		}
		epoch, err := p.log.Announce(key)
		if err != nil {
			t.Fatal(err)
		}
		return epoch
	}
}

// Values go to those who take them, with all that is said of them, and to nobody else.
func TestPeerPush(t *testing.T) {
	p, write := announced(t)
	now, before := p.listen("&values=1"), p.listen("")
	epoch := write("a", 100)
	got := now.until(epoch)
	if len(got) != 1 || got[0].Key != "a" || !got[0].Found.There || len(got[0].Bytes) != 100 || len(got[0].Found.Value.Tags) != 1 ||
		!got[0].Found.Until.Ends || got[0].Found.Until.Time > time.Minute {
		t.Errorf("%+v", got)
	}
	if got := before.until(epoch); len(got) != 0 {
		t.Errorf("one that does not ask for values got %+v", got)
	}
	if _, err := p.log.Announce("nothing"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.log.Announce("nothing"); err != nil {
		t.Fatal(err)
	}
	got = now.until(write("large by now", kv.MaxPushed))
	if len(got) == 0 || len(got) > 2 || got[0].Key != "nothing" || got[0].Found.There {
		t.Errorf("%d values, and not that there is nothing", len(got))
	}
}

// An edge that is slow gets all rules, and no more values than have their room.
func TestPeerPushIsBounded(t *testing.T) {
	p, write := announced(t)
	slow := p.listen("&values=1")
	const size, most = 10 << 10, peer.MaxPushes / (10 << 10)
	values, last := 0, uint64(0)
	for i := range 3 * most {
		last = write(strconv.Itoa(i), size)
		values += len(slow.until(last))
	}
	if values == 0 || values > most {
		t.Errorf("%d values are on their way, at most %d may be", values, most)
	}
	slow.say() // it has the rules: the values may still be behind them
	for range 10 {
		if got := slow.until(write("next", size)); len(got) != 0 {
			t.Errorf("%d values are sent to who may lack all that were before", len(got))
		}
	}
	eventually(t, "values are sent again", func() bool { slow.say(); return len(slow.until(write("next", size))) == 1 })
}

// slowDisk is a store that takes its time to read.
type slowDisk struct {
	kv.Store
	gate chan struct{}
}

func (s *slowDisk) Get(ctx context.Context, key string) (*kv.Value, error) {
	<-s.gate
	return s.Store.Get(ctx, key)
}

// Rules do not wait until many values are read.
func TestRulesGoBeforeValuesAreRead(t *testing.T) {
	store := &slowDisk{newFakeStore(time.Now), make(chan struct{})}
	p := newPair(t, pairOptions{values: store}, func(http.ResponseWriter, *http.Request) {})
	defer close(store.gate)
	before, epoch := p.log.Current(), uint64(0)
	for i := range 20 {
		var err error
		if epoch, err = p.log.Announce(strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	l := p.listenFrom(before, "&values=1")
	_ = l.conn.SetReadDeadline(time.Now().Add(3 * time.Second)) // beats come with the values
	for {
		kind, frame := l.frame()
		if kind != peer.FrameBatch {
			continue
		}
		if b, err := shield.DecodeBatch(frame); err != nil || b.Epoch != epoch {
			t.Errorf("%+v, %v", b, err)
		}
		return
	}
}

// However much was written, not much more is read for an edge than it can be sent.
func TestPushesReadLittle(t *testing.T) {
	for size, most := range map[int]int{10 << 10: 20, 2 * kv.MaxPushed: 20, 10: 300} {
		store := newFakeStore(time.Now)
		p := newPair(t, pairOptions{values: store}, func(http.ResponseWriter, *http.Request) {})
		before, last := p.log.Current(), uint64(0)
		for i := range 500 {
			key := strconv.Itoa(i)
			if _, err := store.Set(t.Context(), key, kv.Draft{Bytes: make([]byte, size)}, kv.Condition{}); err != nil {
				t.Fatal(err)
			}
			var err error
			if last, err = p.log.Announce(key); err != nil {
				t.Fatal(err)
			}
		}
		written := store.count()
		p.listenFrom(before, "&values=1").until(last)
		if s := p.peers.Pushes(); s.Sent+s.Dropped != 500 || (s.Sent == 0) != (size > kv.MaxPushed) {
			t.Errorf("500 values of %d bytes: %+v", size, s)
		}
		if n := store.count() - written; n == 0 || n > most {
			t.Errorf("%d values of %d bytes were read for one edge", n, size)
		}
	}
}

// All edges together are sent no more than the shield can well send.
func TestPushesHaveARate(t *testing.T) {
	const size, each = 10 << 10, 10
	store := newFakeStore(time.Now)
	p := newPair(t, pairOptions{values: store, pushRate: 4 * size}, func(http.ResponseWriter, *http.Request) {})
	before, last := p.log.Current(), uint64(0)
	for i := range each {
		key := strconv.Itoa(i)
		if _, err := store.Set(t.Context(), key, kv.Draft{Bytes: make([]byte, size)}, kv.Condition{}); err != nil {
			t.Fatal(err)
		}
		var err error
		if last, err = p.log.Announce(key); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.listenFrom(before, "&values=1").until(last)); n == 0 || n > 4 {
		t.Errorf("%d values are sent, and 4 are too much for a second", n)
	}
	eventually(t, "values are sent again", func() bool { return len(p.listenFrom(before, "&values=1").until(last)) > 0 })
}
