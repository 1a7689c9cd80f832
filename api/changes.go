package api

import (
	"context"
	"net/http"
	"time"

	"weir/api/peer"
	"weir/shield"
)

// ChangesOptions are what a stream of changes is made of.
type ChangesOptions struct {
	Purges func() *shield.Purges // the log, or a follower; nil as long as there is none

	// Sees says whether this node knows all purges but those of the last moment. While it
	// does not, its streams have no heartbeat. nil: always.
	Sees func(ctx context.Context) bool

	Room int64 // that long batches may take on their way, in bytes; 0: 128 MiB
}

// Changes are streams of the purge log for programs that remember values themselves. They
// are bounded in number, and whoever does not read is dropped.
type Changes struct {
	opts    ChangesOptions
	streams streams
	slots   chan struct{} // one element per stream
	batches batches
}

// maxChanges is how many programs may follow one node.
const maxChanges = 256

// NewChanges returns streams of changes. Close ends them.
func NewChanges(opts ChangesOptions) *Changes {
	if opts.Sees == nil {
		opts.Sees = func(context.Context) bool { return true }
	}
	c := &Changes{opts: opts, slots: make(chan struct{}, maxChanges), batches: newBatches(opts.Room)}
	c.streams.begin()
	return c
}

// Close ends all streams and waits for them.
func (c *Changes) Close() { c.streams.close() }

// routes are those of a listener with changes; none of a nil one.
func (c *Changes) routes() []route {
	if c == nil {
		return nil
	}
	return []route{{method: http.MethodGet, path: "/v1/changes", handle: c.follow}}
}

// follow writes what comes into the log, each batch with its length before it, and a batch
// without rules when nothing has for a second: until then nothing was missing.
func (c *Changes) follow(w http.ResponseWriter, r *http.Request) error {
	id, after, ok := place(r)
	if r.URL.RawQuery == "" {
		id, after, ok = shield.LogID{}, 0, true
	}
	if !ok {
		return badRequest("log and after are no place in the purge log.", "Send those of the last batch: ?log=HEX&after=EPOCH, or neither to begin.")
	}
	log := c.opts.Purges()
	if log == nil || log.ID() == (shield.LogID{}) { // or what it follows is not known yet
		return noValues
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return &fault{status: 503, code: "overloaded", message: "Too many programs follow this node.", hint: "Follow another node of the region, or ask again later.", retry: 5}
	}
	if !c.streams.add() {
		return &closing
	}
	defer c.streams.running.Done()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	shelter(h)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &changesStream{changes: c, w: w, rc: http.NewResponseController(w), log: log}
	defer context.AfterFunc(c.streams.base, func() {
		cancel()
		_ = s.rc.SetWriteDeadline(time.Unix(1, 0)) // ends a write, too
	})()
	_ = s.rc.Flush()                      // the head, for there may be no heartbeat; an error comes back with the next
	_ = s.rc.SetReadDeadline(time.Time{}) // the server's is for requests, and would end this one
	return s.run(ctx, peerPlace{id, after})
}

// changesStream is one of them.
type changesStream struct {
	changes *Changes
	w       http.ResponseWriter
	rc      *http.ResponseController
	log     *shield.Purges
}

// run ends when the program leaves, or does not take what it is sent, or the node stops.
func (s *changesStream) run(ctx context.Context, at peerPlace) error {
	for ctx.Err() == nil {
		next, err := s.tell(ctx, at)
		if err != nil {
			return nil // whoever does not read is not told
		}
		at = next
		waiting, done := context.WithTimeout(ctx, peer.BeatEvery)
		_ = s.log.Await(waiting, at.after) // or the time for a heartbeat has come
		done()
	}
	return nil
}

// tell sends what one who is at a place lacks, or a heartbeat, and returns where it is then.
// There are few long batches at a time, whoever is slow to take one.
func (s *changesStream) tell(ctx context.Context, at peerPlace) (peerPlace, error) {
	sees := s.changes.opts.Sees(ctx) // first: what this node knew by then is in the batch
	if at.after == s.log.Current() && at.id == s.log.ID() {
		if !sees {
			return at, nil
		}
		beat := shield.Batch{Log: at.id, After: at.after, Epoch: at.after}
		return at, s.send(ctx, peer.AppendFrame(nil, beat.Encode()))
	}
	waiting, done := context.WithTimeout(ctx, streamSilence)
	defer done()
	b, err := s.changes.batches.make(waiting, s.log, at)
	if err != nil {
		return at, err
	}
	defer b.leave()
	if !b.Reset && b.Epoch == at.after && !sees {
		return at, nil
	}
	return b.place(), s.send(ctx, peer.AppendFrame(nil, b.encoded))
}

func (s *changesStream) send(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		_ = s.rc.SetWriteDeadline(time.Now().Add(streamSilence)) // not every ResponseWriter of tests has one
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := s.w.Write(p[:min(len(p), maxWrite)])
		if err == nil {
			err = s.rc.Flush()
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
