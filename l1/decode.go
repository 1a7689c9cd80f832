package l1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

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

	inputRoom = 4 << 10
)

// codec is one of the decoders of three libraries.
type codec interface {
	io.Reader
	Reset(r io.Reader) error
}

// A decoder undoes a coding within the bounds. It is used for one body after another.
type decoder struct {
	coding  coding
	codec   codec
	buf     *bufio.Reader
	in      source
	out     int64
	started bool
	room    int64 // that it can need, once it has started
	err     error
}

var decoders = [codings]sync.Pool{
	brotliCoding: {New: func() any { return newDecoder(brotliCoding, new(brotli.Reader)) }},
	gzipCoding:   {New: func() any { return newDecoder(gzipCoding, new(gzip.Reader)) }},
	zstdCoding: {New: func() any {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err) // of options that are constants
		}
		return newDecoder(zstdCoding, z)
	}},
}

func newDecoder(c coding, with codec) *decoder {
	return &decoder{coding: c, codec: with, buf: bufio.NewReaderSize(nil, inputRoom)}
}

// takeDecoder returns a decoder for src, to be given back with giveDecoder.
func takeDecoder(c coding, src io.Reader) *decoder {
	d := decoders[c].Get().(*decoder)
	d.in, d.out, d.started, d.room, d.err = source{src: src}, 0, false, 0, nil
	d.buf.Reset(&d.in)
	return d
}

func giveDecoder(d *decoder) {
	d.in = source{}
	if d.out > freeBytes && d.coding != gzipCoding || d.err != nil && !errors.Is(d.err, io.EOF) {
		return // its window is large, or who knows what state its codec is in
	}
	decoders[d.coding].Put(d)
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
		if err := d.start(); err != nil {
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

// start makes the codec ready for what has come.
func (d *decoder) start() error {
	begin, err := d.buf.Peek(d.buf.Buffered())
	if err != nil {
		return err
	}
	d.room = roomFor(d.coding, begin)
	if z, ok := d.codec.(*zstd.Decoder); ok {
		limit := uint64(zstdLimit(begin))
		return z.ResetWithOptions(d.buf, zstd.WithDecoderMaxWindow(limit), zstd.WithDecoderMaxMemory(limit))
	}
	return d.codec.Reset(d.buf)
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
	defer giveDecoder(d)
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
	src  io.ReadCloser
	room *room

	mu    sync.Mutex // held while it is read
	d     *decoder   // nil when it is closed
	taken int64      // of room
}

// newDecodedBody decodes src in room, of which the most that it can need has been taken.
func newDecodedBody(c coding, src io.ReadCloser, in *room) *decodedBody {
	return &decodedBody{src: src, room: in, d: takeDecoder(c, src), taken: mostRoom[c]}
}

func (b *decodedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.d == nil {
		return 0, errClosed
	}
	n, err := b.d.Read(p)
	if b.d.room > 0 && b.d.room < b.taken {
		b.room.give(b.taken - b.d.room)
		b.taken = b.d.room
	}
	return n, err
}

func (b *decodedBody) Close() error {
	err := b.src.Close() // which ends a Read
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.d != nil {
		giveDecoder(b.d)
		b.d = nil
		b.room.give(b.taken)
	}
	return err
}
