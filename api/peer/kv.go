package peer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"weir/kv"
	"weir/shield"
)

// KV returns the values that the shield keeps. What is large takes room on its way.
//
// A read is sent again while the shield may only be starting again. A write is sent again only
// if nothing of it can have come there: a write whose answer was lost may have happened,
// which the caller is told with [kv.ErrUnavailable].
func (c *Client) KV() kv.Store { return &values{client: c, room: NewRoom(valuesRoom)} }

// valuesRoom is what values may take that come from the shield.
const valuesRoom = 64 << 20

// valueTimeout bounds one question about values, or one write.
const valueTimeout = 15 * time.Second

type values struct {
	client *Client
	room   *Room
}

// Get asks the shield.
func (s *values) Get(ctx context.Context, key string) (*kv.Value, error) {
	a, err := s.ask(ctx, &KVAsk{Op: KVGet, Keys: []string{key}}, nil)
	if err != nil {
		return nil, err
	}
	return a.values[0], nil
}

// GetMany asks the shield, and again for what was too much for one answer.
func (s *values) GetMany(ctx context.Context, keys []string, limit int) ([]*kv.Value, error) {
	found := make([]*kv.Value, len(keys))
	missing := make([]int, len(keys))
	for i := range missing {
		missing[i] = i
	}
	total := 0
	for len(missing) > 0 {
		q := &KVAsk{Op: KVGetMany, Keys: make([]string, len(missing))}
		for n, i := range missing {
			q.Keys[n] = keys[i]
		}
		a, err := s.ask(ctx, q, nil)
		if err != nil {
			return nil, err
		}
		var later []int
		for n, i := range missing {
			found[i] = a.values[n]
			if a.reply.Found[n].Later {
				later = append(later, i)
			}
			total += int(a.reply.Found[n].Size)
		}
		if total > min(limit, kv.MaxManyBytes) {
			return nil, kv.ErrTooMuch
		}
		missing = later
	}
	return found, nil
}

// Set has the shield keep a value.
func (s *values) Set(ctx context.Context, key string, d kv.Draft, c kv.Condition) (uint64, error) {
	a, err := s.ask(ctx, &KVAsk{Op: KVSet, Keys: []string{key}, Draft: d, Size: uint64(len(d.Bytes)), Condition: c}, d.Bytes)
	if err != nil {
		return 0, err
	}
	return a.reply.Version, nil
}

// Delete has the shield delete a value.
func (s *values) Delete(ctx context.Context, key string, c kv.Condition) error {
	_, err := s.ask(ctx, &KVAsk{Op: KVDelete, Keys: []string{key}, Condition: c}, nil)
	return err
}

// Incr has the shield add to a number.
func (s *values) Incr(ctx context.Context, key string, i kv.Increment) (kv.Count, error) {
	a, err := s.ask(ctx, &KVAsk{Op: KVIncr, Keys: []string{key}, Increment: i}, nil)
	if err != nil {
		return kv.Count{}, err
	}
	return kv.Count{Number: a.reply.Number, Version: a.reply.Version, Fresh: a.reply.Left.After(a.asked)}, nil
}

// valueAnswer is what the shield has said.
type valueAnswer struct {
	reply  *KVReply
	values []*kv.Value // nil for what is missing, and for later
	asked  time.Time
}

// ask asks until there is an answer, or the shield is given up, or it is not known any more
// whether a write has happened.
func (s *values) ask(ctx context.Context, q *KVAsk, value []byte) (*valueAnswer, error) {
	c := s.client
	if !c.begin() {
		return nil, fmt.Errorf("%w: this node is being stopped", kv.ErrUnavailable)
	}
	defer c.running.Done()
	if c.outage.blocked(time.Now()) {
		return nil, fmt.Errorf("%w: it has been down for a while", kv.ErrUnavailable)
	}
	pause := backoff{20 * time.Millisecond, 500 * time.Millisecond}
	for {
		t := &valueTry{values: s, ask: q, value: value}
		answer, err := t.run(ctx)
		switch {
		case err == nil:
			c.outage.over()
			if err := answer.reply.Err(); err != nil {
				return nil, err
			}
			return answer, nil
		case t.refused || errors.Is(err, ErrCrowded):
			c.outage.over()
			return nil, fmt.Errorf("ask the shield for values: %w", err)
		case ctx.Err() != nil:
			return nil, fmt.Errorf("peer: client left: %w", context.Cause(ctx))
		}
		c.lost(t.addr)
		if !t.repeatable() || errors.Is(err, ErrNotShield) || errors.Is(err, ErrMalformed) || c.outage.given(time.Now()) || c.base.Err() != nil {
			return nil, fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
		}
		c.counts.retries.Add(1)
		if err := pause.wait(ctx); err != nil {
			return nil, fmt.Errorf("peer: client left: %w", err)
		}
	}
}

// valueTry is one attempt.
type valueTry struct {
	values *values
	ask    *KVAsk
	value  []byte
	addr   string

	touched atomic.Bool // the shield may have the whole head of the request
	idle    bool        // it says that it has done nothing
	refused bool        // the shield has said why not, and will again
}

// repeatable says whether asking again can do nothing twice.
func (t *valueTry) repeatable() bool {
	return t.ask.Op == KVGet || t.ask.Op == KVGetMany || t.idle || !t.touched.Load()
}

func (t *valueTry) run(ctx context.Context) (*valueAnswer, error) {
	c := t.values.client
	t.addr = c.address()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.line.now(), func() { cancel(errSilent) })()
	slow := time.AfterFunc(valueTimeout, func() { cancel(errSilent) })
	defer slow.Stop()
	asked := c.opts.Now()
	resp, err := t.send(ctx)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	c.hear(resp.Header.Get(EpochField))
	if resp.StatusCode != http.StatusOK {
		said, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
		if err != nil {
			return nil, causeOf(ctx, err)
		}
		err = errorOf(resp.StatusCode, said)
		t.idle = errors.Is(err, errStopping) || errors.Is(err, ErrNotShield)
		t.refused = !errors.Is(err, shield.ErrParent)
		return nil, err
	}
	answer, err := t.read(ctx, bufio.NewReaderSize(resp.Body, 4<<10), asked)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	return answer, nil
}

func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (t *valueTry) send(ctx context.Context) (*http.Response, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { t.touched.Store(true) }})
	head := AppendFrame(nil, t.ask.Encode())
	body := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(head), bytes.NewReader(t.value))), nil
	}
	first, err := body()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.addr+PathKV, first)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(head) + len(t.value))
	req.GetBody = body // for a connection on which nothing could be written
	return t.values.client.http.RoundTrip(req)
}

// read reads an answer whole.
func (t *valueTry) read(ctx context.Context, from *bufio.Reader, asked time.Time) (*valueAnswer, error) {
	frame, err := ReadFrame(from, MaxKVReply)
	if err != nil {
		return nil, err
	}
	r, err := DecodeKVReply(frame)
	if err != nil || !r.answers(t.ask.Op, len(t.ask.Keys)) {
		return nil, fmt.Errorf("%w: an answer about values", ErrMalformed)
	}
	size := int64(0)
	for i := range r.Found {
		size += int64(r.Found[i].Size)
	}
	if size > MaxKVPart+kv.MaxValue {
		return nil, fmt.Errorf("%w: values of %d bytes in one answer", ErrMalformed, size)
	}
	leave, err := t.values.room.Take(ctx, size)
	if err != nil {
		return nil, err
	}
	defer leave()
	answer := &valueAnswer{reply: r, asked: asked, values: make([]*kv.Value, len(r.Found))}
	for i := range r.Found {
		f := &r.Found[i]
		if !f.There {
			continue
		}
		body := make([]byte, f.Size)
		if _, err = io.ReadFull(from, body); err != nil {
			return nil, unexpected(err)
		}
		answer.values[i] = f.value(body, asked)
	}
	return answer, nil
}
