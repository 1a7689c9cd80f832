package api_test

import (
	"bufio"
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
	conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	id := p.log.ID()
	l := &listener{t: p.t, conn: conn, from: bufio.NewReader(conn), epoch: p.log.Current()}
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

// until reads frames until one says that the log has come to an epoch, and returns all values.
func (l *listener) until(epoch uint64) (values []peer.Push) {
	l.t.Helper()
	for l.epoch < epoch {
		kind, err := l.from.ReadByte()
		if err != nil {
			l.t.Fatal(err)
		}
		frame, err := peer.ReadFrame(l.from, peer.MaxBatch)
		if err != nil {
			l.t.Fatal(err)
		}
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
	slow.say()
	eventually(t, "values are sent again", func() bool { return len(slow.until(write("next", size))) == 1 })
}
