package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/api/peer"
)

// streams are the log streams of a door, which no http.Server knows of.
type streams struct {
	base   context.Context
	cancel context.CancelFunc

	mu      sync.Mutex // guards closed, and running.Add against close
	closed  bool
	running sync.WaitGroup
}

func (s *streams) begin() { s.base, s.cancel = context.WithCancel(context.Background()) }

func (s *streams) add() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

func (s *streams) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// maxNode is how long the names of regions and nodes may be.
const maxNode = 256

// follow turns a connection into a stream of the purge log.
func (d *PeerDoor) follow(w http.ResponseWriter, r *http.Request) {
	id, after, ok := place(r)
	region, node := r.URL.Query().Get("region"), r.URL.Query().Get("node")
	stamp, _ := strconv.ParseUint(r.URL.Query().Get("stamp"), 10, 64) // without one the first beat says less
	if !ok || r.Header.Get("Upgrade") != peer.LogProtocol || region == "" || len(region)+len(node) > maxNode {
		d.refuse(w, refuseMessage)
		return
	}
	if !d.streams.add() {
		d.refuse(w, &closing)
		return
	}
	defer d.streams.running.Done()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		d.refuse(w, err)
		return
	}
	ctx, cancel := context.WithCancel(d.streams.base)
	f := &follower{door: d, conn: conn, cancel: cancel, edge: edge{region, node}, since: d.door.opts.Now()}
	f.takesValues = d.opts.Values != nil && r.URL.Query().Get("values") == "1"
	f.stamp.Store(&stamped{stamp, time.Now()})
	f.run(ctx, buffered.Reader, peerPlace{id, after})
}

// follower is an edge that follows the log.
type follower struct {
	door   *PeerDoor
	conn   net.Conn
	cancel context.CancelFunc

	edge
	since   time.Time
	stopped bool // the edge has said so; readAcks writes it

	stamp   atomic.Pointer[stamped] // the last that came from the edge
	acked   uint64                  // guarded by regions.mu
	ackedAt time.Time               // so is this

	takesValues bool
	taken       atomic.Uint64 // of the word before the last: each frame has one, the values come behind their batch
	pushing     []pushedPart  // what may still be on its way; of the one who writes
}

// stamped is a time of the edge's own clock, and when it came.
type stamped struct {
	stamp uint64
	came  time.Time
}

type peerPlace struct {
	id    [16]byte
	after uint64
}

// run ends when either side ends the stream, or the edge takes or says nothing for too
// long. Nothing waits for it but itself: what the edge lacks is looked up when it has
// taken what came before.
func (f *follower) run(ctx context.Context, from *bufio.Reader, at peerPlace) {
	defer f.cancel()
	stop := context.AfterFunc(ctx, func() { _ = f.conn.Close() }) // ends reads and writes
	f.door.regions.join(f)
	acks := make(chan struct{})
	go func() {
		defer close(acks)
		defer f.cancel()
		f.readAcks(from)
	}()
	f.write(ctx, at)
	f.cancel()
	if stop() {
		_ = f.conn.Close()
	}
	<-acks
	f.door.regions.leave(f)
}

// streamSilence is how long an edge may say nothing, or not take what it is sent.
const streamSilence = 5 * time.Second

// write sends what comes into the log, and a beat when nothing has for a second.
func (f *follower) write(ctx context.Context, at peerPlace) {
	const accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + peer.LogProtocol + "\r\n\r\n"
	if f.send([]byte(accepted)) != nil {
		return
	}
	log := f.door.opts.Purges
	for ctx.Err() == nil {
		next, err := f.tell(ctx, at)
		if err != nil {
			return
		}
		at = next
		waiting, done := context.WithTimeout(ctx, peer.BeatEvery)
		_ = log.Await(waiting, at.after) // or the time for a beat has come
		done()
	}
}

// tell sends what an edge that is at a place lacks, and a beat, and returns where it is then.
func (f *follower) tell(ctx context.Context, at peerPlace) (peerPlace, error) {
	stamp := f.stamp.Load().stamp // first: what was durable when the edge sent it is in what follows
	b, err := f.batch(ctx, at)
	if err != nil {
		return at, err
	}
	defer b.leave()
	var out []byte
	if b.Reset || b.Epoch != at.after {
		out = peer.AppendFrame([]byte{peer.FrameBatch}, b.encoded)
		at = b.place()
		if keys := f.announced(b.Batch); len(keys) > 0 {
			if len(keys) > fewPushed {
				if err := f.send(out); err != nil {
					return at, err
				}
				out = nil
			}
			out = f.appendValues(out, b.Batch, keys)
		}
	}
	return at, f.send(appendBeat(out, at, stamp))
}

func appendBeat(out []byte, at peerPlace, stamp uint64) []byte {
	out = append(out, peer.FrameBeat)
	return peer.AppendFrame(out, binary.AppendUvarint(binary.AppendUvarint(nil, at.after), stamp))
}

// batch makes what the edge lacks. While that waits for what others are sent the edge gets
// beats, which say that it is alive and no more: they have no stamp.
func (f *follower) batch(ctx context.Context, at peerPlace) (*madeBatch, error) {
	made, log := &f.door.batches, f.door.opts.Purges
	if made.short(log, at) {
		return made.make(ctx, log, at)
	}
	ctx, cancel := context.WithCancel(ctx)
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		for {
			select {
			case <-time.After(peer.BeatEvery):
			case <-ctx.Done():
				return
			}
			if f.send(appendBeat(nil, at, 0)) != nil {
				f.cancel()
				return
			}
		}
	}()
	b, err := made.make(ctx, log, at)
	cancel()
	<-beats
	return b, err
}

// send gives the edge its time for each piece.
func (f *follower) send(p []byte) error {
	stuck := time.AfterFunc(streamSilence, f.cancel)
	defer stuck.Stop()
	for len(p) > 0 {
		n, err := f.conn.Write(p[:min(len(p), maxWrite)])
		if err != nil {
			return err
		}
		p = p[n:]
		stuck.Reset(streamSilence)
	}
	return nil
}

// readAcks reads how far the edge has come, and when it said so.
func (f *follower) readAcks(from *bufio.Reader) {
	quiet := time.AfterFunc(streamSilence, f.cancel)
	defer quiet.Stop()
	for before := uint64(0); ; {
		epoch, err := binary.ReadUvarint(from)
		if err != nil {
			return
		}
		stamp, err := binary.ReadUvarint(from)
		if err != nil {
			return
		}
		if stamp == 0 {
			f.stopped = true
			return
		}
		f.stamp.Store(&stamped{stamp, time.Now()})
		f.taken.Store(before)
		before = epoch
		quiet.Reset(streamSilence)
		if epoch > f.door.opts.Purges.Current() {
			epoch = 0 // of another log: it has not come to its reset
		}
		f.door.regions.acked(f, epoch)
	}
}
