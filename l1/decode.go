package l1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	// ErrCoding says that a body is not in the coding that its head names, is cut
	// short, or expands beyond the bounds.
	ErrCoding = errors.New("l1: content cannot be decoded")
	// ErrBusy says that as many bodies are being decoded as there is memory for.
	ErrBusy = errors.New("l1: too many bodies are being decoded")

	errTooLong = errors.New("l1: decoded content is longer than an object may be")
	errClosed  = errors.New("l1: body is closed")

	errUnfinished = errors.New("l1: decoder did not return")
)

// The bounds of decoding. A body may expand maxRatio times once freeBytes are out, which is
// what small bodies of repetitions need.
const (
	freeBytes  = 1 << 20
	maxRatio   = 100
	maxDecoded = 16 << 30

	zstdWindow = 8 << 20 // as RFC 9659 3 has it
	inputRoom  = 4 << 10
)

// decoderBytes is what a decoder can hold at most: its window, which for br has
// 16 MiB at most, RFC 7932 9.1, and tables.
var decoderBytes = [codings]int64{
	brotliCoding: 17 << 20,
	gzipCoding:   64 << 10,
	zstdCoding:   zstdWindow + 2<<20,
}

// codec is one of the decoders of three libraries.
type codec interface {
	io.Reader
	Reset(r io.Reader) error
}

// A decoder undoes a coding within the bounds. It is used for one body after another.
type decoder struct {
	codec   codec
	buf     *bufio.Reader
	in      source
	out     int64
	started bool
	err     error
}

var decoders = [codings]sync.Pool{
	brotliCoding: {New: func() any { return newDecoder(new(brotli.Reader)) }},
	gzipCoding:   {New: func() any { return newDecoder(new(gzip.Reader)) }},
	zstdCoding: {New: func() any {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(zstdWindow))
		if err != nil {
			panic(err) // of options that are constants
		}
		return newDecoder(z)
	}},
}

func newDecoder(c codec) *decoder {
	return &decoder{codec: c, buf: bufio.NewReaderSize(nil, inputRoom)}
}

// takeDecoder returns a decoder for src, to be given back with giveDecoder.
func takeDecoder(c coding, src io.Reader) *decoder {
	d := decoders[c].Get().(*decoder)
	d.in, d.out, d.started, d.err = source{src: src}, 0, false, nil
	d.buf.Reset(&d.in)
	return d
}

func giveDecoder(c coding, d *decoder) {
	d.in = source{}
	if d.out > freeBytes && c != gzipCoding || d.err != nil && !errors.Is(d.err, io.EOF) {
		return // its window is large, or who knows what state its codec is in
	}
	decoders[c].Put(d)
}

// Read never returns what looks like the end of a body that is not whole.
func (d *decoder) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	d.err = errUnfinished // should the codec panic
	n, err := d.read(p)
	d.out += int64(n)
	if d.out > maxDecoded || d.out > freeBytes && d.out/maxRatio > d.in.read {
		n, err = 0, fmt.Errorf("%w: %d bytes out of %d", ErrCoding, d.out, d.in.read)
	}
	d.err = err
	return n, err
}

func (d *decoder) read(p []byte) (int, error) {
	if !d.started {
		d.started = true
		// Nothing at all is no coded body either, but all of what was meant.
		if _, err := d.buf.Peek(1); err != nil {
			return 0, err
		}
		if err := d.codec.Reset(d.buf); err != nil {
			return 0, d.failed(err)
		}
	}
	n, err := d.codec.Read(p)
	cut := d.in.err != nil && !errors.Is(d.in.err, io.EOF) // whatever the codec makes of it
	if err != nil && (cut || !errors.Is(err, io.EOF)) {
		err = d.failed(err)
	}
	return n, err
}

// failed blames the source of the coded bytes if it failed, and otherwise the bytes.
func (d *decoder) failed(err error) error {
	if d.in.err != nil && !errors.Is(d.in.err, io.EOF) {
		return d.in.err
	}
	return fmt.Errorf("%w: %s", ErrCoding, err.Error()) // no io.EOF that may be in it is an end
}

// source counts what a decoder is fed, and remembers how that ended.
type source struct {
	src  io.Reader
	read int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.src.Read(p)
	s.read += int64(n)
	s.err = err
	return n, err
}

// decodeWhole undoes the coding of body, which may have limit bytes then.
func decodeWhole(c coding, body []byte, limit int64) ([]byte, error) {
	d := takeDecoder(c, bytes.NewReader(body))
	defer giveDecoder(c, d)
	var plain bytes.Buffer
	plain.Grow(int(min(4*int64(len(body)), limit)) + bytes.MinRead)
	n, err := plain.ReadFrom(io.LimitReader(d, limit+1))
	switch {
	case err != nil:
		return nil, err
	case n > limit:
		return nil, errTooLong
	default:
		return bytes.Clone(plain.Bytes()), nil
	}
}

// decodedBody streams a body without its coding. It can be closed during a Read.
type decodedBody struct {
	src    io.ReadCloser
	coding coding
	end    func() // called once

	mu sync.Mutex // held while it is read
	d  *decoder   // nil when it is closed
}

func newDecodedBody(c coding, src io.ReadCloser, end func()) *decodedBody {
	return &decodedBody{src: src, coding: c, end: end, d: takeDecoder(c, src)}
}

func (b *decodedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.d == nil {
		return 0, errClosed
	}
	return b.d.Read(p)
}

func (b *decodedBody) Close() error {
	err := b.src.Close() // which ends a Read
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.d != nil {
		giveDecoder(b.coding, b.d)
		b.d = nil
		b.end()
	}
	return err
}

// busyWait is how long a request waits until memory for a decoder is free.
const busyWait = 2 * time.Second

// room is memory that decoders share.
type room struct {
	max int64

	mu    sync.Mutex
	taken int64
	freed chan struct{} // closed when some is given back; nil when nobody waits
}

// take waits for memory for a decoder.
func (r *room) take(ctx context.Context, c coding) error {
	var patience *time.Timer
	for {
		freed := r.tryTake(decoderBytes[c])
		if freed == nil {
			return nil
		}
		if patience == nil {
			patience = time.NewTimer(busyWait)
			defer patience.Stop()
		}
		select {
		case <-freed:
		case <-patience.C:
			return ErrBusy
		case <-ctx.Done():
			return fmt.Errorf("l1: client left: %w", context.Cause(ctx))
		}
	}
}

// tryTake takes size bytes, or returns what to wait for.
func (r *room) tryTake(size int64) (freed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken == 0 || r.taken+size <= r.max {
		r.taken += size
		return nil
	}
	if r.freed == nil {
		r.freed = make(chan struct{})
	}
	return r.freed
}

func (r *room) give(c coding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= decoderBytes[c]
	if r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}
