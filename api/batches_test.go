package api_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/api"
	"weir/api/peer"
	"weir/shield"
)

// longLog is a log of which a batch is long, and room for one such batch.
func longLog(t *testing.T) (log *shield.Purges, room int64) {
	t.Helper()
	log, err := shield.NewPurges(nil)
	if err != nil {
		t.Fatal(err)
	}
	rules := make([]shield.Rule, 5000)
	for i := range rules {
		rules[i] = shield.TagRule(fmt.Sprint(i))
	}
	if _, err := log.Add(rules...); err != nil {
		t.Fatal(err)
	}
	b := log.Since(shield.LogID{}, 0)
	size := int64(len(b.Encode()))
	if size <= peer.SmallValue {
		t.Fatalf("a batch of only %d bytes", size)
	}
	return log, size * 3 / 2
}

// logStream is a stream of the log as an edge has it.
type logStream struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
	done <-chan struct{} // the shield is done with it
}

func followLog(t *testing.T, door http.Handler, id shield.LogID, after uint64) *logStream {
	t.Helper()
	conn, done := pipeTo(t, door)
	_, err := fmt.Fprintf(conn, "GET %s?log=%s&after=%d&region=fra&node=x&stamp=7 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n",
		peer.PathLog, hex.EncodeToString(id[:]), after, peer.LogProtocol)
	if err != nil {
		t.Fatal(err)
	}
	s := &logStream{t: t, conn: conn, from: bufio.NewReader(conn), done: done}
	resp, err := http.ReadResponse(s.from, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	return s
}

// next reads a frame and says a word about it. Of a beat it returns epoch and stamp.
func (s *logStream) next() (b *shield.Batch, epoch, stamp uint64) {
	s.t.Helper()
	kind, err := s.from.ReadByte()
	if err != nil {
		s.t.Fatal(err)
	}
	payload, err := peer.ReadFrame(s.from, peer.MaxBatch)
	if err != nil {
		s.t.Fatal(err)
	}
	if kind == peer.FrameBatch {
		got, err := shield.DecodeBatch(payload)
		if err != nil {
			s.t.Fatal(err)
		}
		return &got, got.Epoch, 0
	}
	epoch, n := binary.Uvarint(payload)
	stamp, _ = binary.Uvarint(payload[n:])
	if _, err := s.conn.Write(binary.AppendUvarint(binary.AppendUvarint(nil, epoch), 7)); err != nil {
		s.t.Fatal(err)
	}
	return nil, epoch, stamp
}

// Long batches for edges wait for room, and those who wait are told that the shield is alive. Short
// ones wait for nobody. Whoever does not take his is dropped, and gives his room back.
func TestPeersShareRoomForLongBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, room := longLog(t)
		door := api.NewPeerDoor(api.PeerOptions{Purges: log, Room: room})
		defer door.Close()
		stuck := followLog(t, door, shield.LogID{}, 0)
		synctest.Wait()
		second := followLog(t, door, shield.LogID{}, 0)
		followLog(t, door, shield.LogID{}, 0) // as many as may be made at once
		synctest.Wait()
		near := followLog(t, door, log.ID(), log.Current())
		if b, epoch, stamp := near.next(); b != nil || epoch != log.Current() || stamp != 7 {
			t.Errorf("one who lacks nothing: %v, %d, %d", b, epoch, stamp)
		}
		began := time.Now()
		if _, err := log.Add(shield.TagRule("now")); err != nil {
			t.Fatal(err)
		}
		if b, _, _ := near.next(); b == nil || len(b.Rules) != 1 || time.Since(began) != 0 {
			t.Errorf("one who lacks a rule: %+v after %v", b, time.Since(began))
		}
		_ = near.conn.Close()
		beats := 0
		b, epoch, stamp := second.next()
		for ; b == nil; b, epoch, stamp = second.next() {
			if beats++; epoch != 0 || stamp != 0 {
				t.Errorf("a beat of one who waits: %d, %d", epoch, stamp)
			}
		}
		<-stuck.done
		if took := time.Since(began); beats < 4 || took < 4*time.Second || took > 10*time.Second {
			t.Errorf("%d beats, in %v", beats, took)
		}
		if !b.Reset || b.Epoch < log.Current()-1 {
			t.Errorf("the batch, at last: up to %d", b.Epoch)
		}
		if again, epoch, stamp := second.next(); again != nil || epoch != b.Epoch || stamp != 7 {
			t.Errorf("and its beat: %v, %d, %d", again, epoch, stamp)
		}
	})
}

// What an edge asks for at once has the same room.
func TestCatchingUpTakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, room := longLog(t)
		door := api.NewPeerDoor(api.PeerOptions{Purges: log, Room: room})
		defer door.Close()
		_ = followLog(t, door, shield.LogID{}, 0) // which takes nothing
		near := followLog(t, door, log.ID(), log.Current())
		near.next()
		near.next() // a second later
		ask := func(id shield.LogID, after uint64) int {
			conn, _ := pipeTo(t, door)
			_, err := fmt.Fprintf(conn, "POST %s?log=%s&after=%d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", peer.PathCatchUp, hex.EncodeToString(id[:]), after)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode
		}
		if status := ask(log.ID(), log.Current()-1); status != 200 {
			t.Errorf("for a short one: %d", status)
		}
		began := time.Now()
		if status := ask(shield.LogID{}, 0); status != 200 || time.Since(began) < time.Second {
			t.Errorf("for a long one: %d after %v", status, time.Since(began))
		}
	})
}

// So do programs that follow changes: one that does not read holds up those who lack much, as
// long as it may, and nobody else.
func TestChangesShareRoomForLongBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, room := longLog(t)
		changes := api.NewChanges(api.ChangesOptions{Purges: func() *shield.Purges { return log }, Room: room})
		defer changes.Close()
		door := api.NewKV(api.KVOptions{Changes: changes})
		conn, handled := pipeTo(t, door)
		begin(t, conn, shield.NewFollower()) // which takes nothing
		conn, _ = pipeTo(t, door)
		near := begin(t, conn, upTo(log))
		began := time.Now()
		near.next()
		if took := time.Since(began); took != 0 {
			t.Errorf("one who lacks nothing waits %v", took)
		}
		near.next() // a second later
		conn, _ = pipeTo(t, door)
		if b := begin(t, conn, shield.NewFollower()).next(); !b.Reset || b.Epoch != log.Current() {
			t.Errorf("up to %d", b.Epoch)
		}
		<-handled
		if took := time.Since(began); took < 4*time.Second || took > 10*time.Second {
			t.Errorf("room after %v", took)
		}
	})
}

// upTo is a follower that lacks nothing of log.
func upTo(log *shield.Purges) *shield.Purges {
	f := shield.NewFollower()
	f.Apply(log.Since(f.ID(), f.Current()))
	return f
}

// Programs that do not read are all dropped, and then there are as many places as before.
func TestChangesOfManySlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := shield.NewPurges(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, door := changesOf(t, log, nil)
		for range 2 {
			var gone []<-chan struct{}
			for range 256 {
				conn, handled := pipeTo(t, door)
				begin(t, conn, upTo(log))
				gone = append(gone, handled)
			}
			if resp := ask(t, door, "GET /v1/changes", "Host: 127.0.0.1"); resp.StatusCode != 503 {
				t.Errorf("one too many: %d", resp.StatusCode)
			}
			for _, handled := range gone {
				<-handled
			}
		}
	})
}
