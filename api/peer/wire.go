package peer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"weir/keying"
)

// Paths of the peer door.
const (
	PathFetch   = "/v1/peer/fetch"
	PathLog     = "/v1/peer/log"
	PathCatchUp = "/v1/peer/catchup"
	PathPurge   = "/v1/peer/purge"
	PathOwed    = "/v1/peer/owed"
	PathExplain = "/v1/peer/explain"
)

// EpochField has the shield's epoch in answers that are not a [Reply], as it is when they are made.
const EpochField = "Weir-Epoch"

// MaxHead is how long an Ask or a Reply may be, in bytes.
const MaxHead = 256 << 10

// maxParts is how many strings a list of a head may have. Heads of requests and of
// responses are bounded far below.
const maxParts = 16 << 10

// ErrMalformed says that a peer sent what cannot be read.
var ErrMalformed = errors.New("peer: malformed message")

// ReadFrame takes a frame off r: its length and its bytes.
func ReadFrame(r *bufio.Reader, limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, unexpected(err)
	}
	if n > limit {
		return nil, fmt.Errorf("%w: a frame of %d bytes", ErrMalformed, n)
	}
	// What is said to come and does not takes no memory.
	var frame []byte
	for uint64(len(frame)) < n {
		have := len(frame)
		frame = slices.Grow(frame, int(min(n-uint64(have), 64<<10)))
		frame = frame[:min(n, uint64(cap(frame)))]
		if _, err := io.ReadFull(r, frame[have:]); err != nil {
			return nil, unexpected(err)
		}
	}
	return frame, nil
}

// AppendFrame appends frame with its length before it.
func AppendFrame(dst, frame []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(frame))), frame...)
}

// unexpected makes an end out of place visible.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// encoder puts values behind each other.
type encoder []byte

func (e *encoder) uint(n uint64)    { *e = binary.AppendUvarint(*e, n) }
func (e *encoder) int(n int64)      { *e = binary.AppendVarint(*e, n) }
func (e *encoder) text(s string)    { e.uint(uint64(len(s))); *e = append(*e, s...) }
func (e *encoder) time(t time.Time) { e.int(t.Unix()); e.uint(uint64(t.Nanosecond())) }

func (e *encoder) digest(k keying.Digest) { *e = append(*e, k[:]...) }

func (e *encoder) flags(flags ...bool) {
	n := uint64(0)
	for i, set := range flags {
		if set {
			n |= 1 << i
		}
	}
	e.uint(n)
}

func (e *encoder) texts(list []string) {
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.text(s)
	}
}

func (e *encoder) header(h http.Header) {
	e.uint(uint64(len(h)))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		e.text(name)
		e.texts(h[name])
	}
}

// decoder takes values off the front. After the first that is not there bad is set, and
// every value is zero.
type decoder struct {
	s   string
	bad bool
}

func (d *decoder) fail() { d.bad, d.s = true, "" }

func (d *decoder) uint() uint64 {
	var n uint64
	for i := 0; i < len(d.s) && i < binary.MaxVarintLen64; i++ {
		b := d.s[i]
		if i == binary.MaxVarintLen64-1 && b > 1 {
			break
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.s = d.s[i+1:]
			return n
		}
	}
	d.fail()
	return 0
}

func (d *decoder) int() int64 {
	n := d.uint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) text() string {
	n := d.uint()
	if n > uint64(len(d.s)) {
		d.fail()
		return ""
	}
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *decoder) digest() (k keying.Digest) {
	if len(d.s) < len(k) {
		d.fail()
	}
	d.s = d.s[copy(k[:], d.s):]
	return k
}

func (d *decoder) time() time.Time {
	sec, nsec := d.int(), d.uint()
	if nsec >= 1e9 {
		d.fail()
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

func (d *decoder) flags(flags ...*bool) {
	n := d.uint()
	for i, f := range flags {
		*f = n&(1<<i) != 0
	}
	if n>>len(flags) != 0 {
		d.fail()
	}
}

// count takes the length of a list whose items have at least one byte each.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.s)) || n > maxParts {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) texts() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.text()
	}
	return list
}

func (d *decoder) header() http.Header {
	n := d.count()
	h := make(http.Header, n)
	for range n {
		name := d.text()
		if _, twice := h[name]; twice || name == "" {
			d.fail()
		}
		if d.bad {
			return nil
		}
		h[name] = d.texts()
	}
	return h
}

// end says whether all of it was read and good.
func (d *decoder) end() error {
	if d.bad || d.s != "" {
		return ErrMalformed
	}
	return nil
}
