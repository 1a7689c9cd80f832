package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/shield"
)

// Kinds of frames that the shield sends on a log stream. A frame is its kind, and then
// its bytes with their length before them.
const (
	FrameBatch = 'b' // shield.Batch.Encode
	FramePush  = 'v' // Pushes.Encode, behind the batch with their rules; only to who has asked for them
	FrameBeat  = 'h' // the epoch that the log has come to, and the stamp that came last, both uvarints
)

// What an edge sends on a log stream is the epoch that it has come to and a stamp, both
// uvarints, for each frame, and each second while a long one comes. A stamp is a time of the edge's own clock, and in the request
// that begins the stream, too. A beat with a stamp says: what was durable when the edge sent
// that has been sent to it. The stamp 0 says that the edge stops. However long a beat was on its way, it never says more.

// LogProtocol is what a log stream is upgraded to.
const LogProtocol = "weir-log"

// BeatEvery is how often the shield says that nothing has happened, and silence how long
// a stream without a word is taken for alive.
const (
	BeatEvery = time.Second
	silence   = 3 * time.Second
)

// Run follows the shield's log until ctx ends or the client is closed.
func (c *Client) Run(ctx context.Context) {
	if !c.begin() {
		return
	}
	defer c.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.base, cancel)()
	var handing sync.WaitGroup
	defer handing.Wait()
	pause := backoff{50 * time.Millisecond, time.Second}
	for ctx.Err() == nil {
		addr := c.address()
		began, err := c.stream(ctx, addr, &handing)
		c.counts.up.Store(false)
		if ctx.Err() != nil {
			return
		}
		c.opts.Report(fmt.Errorf("stream of purges from %s: %w", addr, err))
		c.lost(addr)
		if errors.Is(err, errSilent) {
			c.line.cut(c.base) // what waits for the shield waits in vain
		}
		if began {
			pause.next = 50 * time.Millisecond
		}
		_ = pause.wait(ctx)
	}
}

// stream reads one stream to its end. began says that it was one.
func (c *Client) stream(ctx context.Context, addr string, handing *sync.WaitGroup) (began bool, err error) {
	asked := time.Now()
	dialling, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.dial(dialling, addr)
	if err != nil {
		if dialling.Err() != nil {
			err = errSilent
		}
		return false, err
	}
	defer context.AfterFunc(ctx, func() { c.bid(conn) })()
	defer func() { _ = conn.Close() }()
	var hushed atomic.Bool
	quiet := time.AfterFunc(silence, func() { hushed.Store(true); _ = conn.Close() })
	defer quiet.Stop()
	silent := func(err error) error {
		if hushed.Load() {
			return errSilent
		}
		return err
	}
	r := bufio.NewReader(&awake{Conn: conn, quiet: quiet, say: func() error { return c.word(conn) }})
	if err := c.upgrade(ctx, addr, conn, r); err != nil {
		return false, silent(err)
	}
	c.counts.rtt.Store(int64(time.Since(asked)))
	c.counts.up.Store(true)
	c.outage.over()
	for {
		if err := c.frame(ctx, conn, r, handing); err != nil {
			return true, silent(err)
		}
	}
}

// bid says that this node stops, and ends the stream.
func (c *Client) bid(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // a shield that is not told takes the node for lost
	_, _ = conn.Write(append(binary.AppendUvarint(nil, c.opts.Purges.Current()), 0))
	_ = conn.Close()
}

// awake puts off what a timer does with every byte that comes, and says a word now and
// then while a long batch does, so that the shield knows that it is taken.
type awake struct {
	net.Conn
	quiet *time.Timer
	say   func() error
	said  time.Time
}

func (a *awake) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	a.quiet.Reset(silence)
	if now := time.Now(); a.said.IsZero() {
		a.said = now // the answer to the request
	} else if err == nil && now.Sub(a.said) >= BeatEvery {
		a.said = now
		err = a.say()
	}
	return n, err
}

// upgrade makes a connection a stream of the log.
func (c *Client) upgrade(ctx context.Context, addr string, conn net.Conn, r *bufio.Reader) error {
	who := url.Values{"region": {c.opts.Region}, "node": {c.opts.Node}, "stamp": {strconv.FormatUint(c.sight.stamp(c.opts.Now()), 10)}}
	if c.opts.Pushed != nil {
		who.Set("values", "1") // what does not know that sends none
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+PathLog+"?"+c.place()+"&"+who.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", LogProtocol)
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		said, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
		if err != nil {
			return err
		}
		return errorOf(resp.StatusCode, said)
	}
	return nil
}

// frame takes one frame off the stream, and tells the shield how far this node is.
func (c *Client) frame(ctx context.Context, conn net.Conn, r *bufio.Reader, handing *sync.WaitGroup) error {
	kind, err := r.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	limit := uint64(MaxBatch)
	if kind == FramePush {
		limit = maxPushFrame
	}
	payload, err := ReadFrame(r, limit)
	if err != nil {
		return err
	}
	p := c.opts.Purges
	switch kind {
	case FrameBatch:
		b, err := shield.DecodeBatch(payload)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		p.Apply(b)
		if p.ID() != b.Log || p.Current() < b.Epoch {
			return fmt.Errorf("%w: a batch for another place", ErrMalformed)
		}
	case FramePush:
		if err := c.push(payload); err != nil {
			return err
		}
	case FrameBeat:
		epoch, n := binary.Uvarint(payload)
		if n <= 0 || p.Current() < epoch {
			return fmt.Errorf("%w: purges are missing", ErrMalformed)
		}
		stamp, n := binary.Uvarint(payload[n:])
		if n <= 0 || stamp > c.sight.stamp(c.opts.Now()) {
			return fmt.Errorf("%w: a beat with a stamp from elsewhere", ErrMalformed)
		}
		c.sight.hear(stamp)
		c.handOver(ctx, handing)
	default:
		return fmt.Errorf("%w: frame %q", ErrMalformed, kind)
	}
	return c.word(conn)
}

// word says how far this node is, and when.
func (c *Client) word(conn net.Conn) error {
	word := binary.AppendUvarint(nil, c.opts.Purges.Current())
	_, err := conn.Write(binary.AppendUvarint(word, c.sight.stamp(c.opts.Now())))
	return err
}
