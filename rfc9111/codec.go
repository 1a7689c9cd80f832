package rfc9111

import (
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrDamaged says that bytes are not an encoded Response.
var ErrDamaged = errors.New("rfc9111: stored response head is damaged")

// codecVersion is the first byte of an encoded Response. Another layout gets another
// version, and what has an unknown one counts as damaged.
const codecVersion = 1

const (
	flagMustRevalidate = 1 << iota
	flagNoCache
	flagParts
	flagsKnown = 1<<iota - 1
)

// Encode appends the compact binary form of r, for storage, to dst. Equal
// responses have equal forms. Times lose their zone and monotonic reading.
//
// The layout: version; status, request time, response time, length plus one, selection;
// initial age, lifetime, stale-while-revalidate, stale-if-error, flags; epoch; tags; fields;
// and of an incomplete body the whole size plus one and the ranges held.
// Numbers are varints, strings have their length before them, lists their count.
func (r *Response) Encode(dst []byte) []byte {
	dst = append(dst, codecVersion)
	dst = binary.AppendUvarint(dst, uint64(r.Status))
	dst = appendTime(dst, r.RequestTime)
	dst = appendTime(dst, r.ResponseTime)
	dst = binary.AppendUvarint(dst, uint64(r.Length+1))
	dst = appendString(dst, string(r.Selection))

	t := &r.Terms
	for _, d := range []time.Duration{t.InitialAge, t.Lifetime, t.StaleWhileRevalidate, t.StaleIfError} {
		dst = binary.AppendVarint(dst, int64(d))
	}
	var flags byte
	if t.MustRevalidate {
		flags |= flagMustRevalidate
	}
	if t.NoCache {
		flags |= flagNoCache
	}
	if r.Parts != nil {
		flags |= flagParts
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, r.Epoch)

	dst = appendStrings(dst, r.Tags)
	dst = appendHeader(dst, r.Header)
	if r.Parts == nil {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(r.Parts.Size+1))
	dst = binary.AppendUvarint(dst, uint64(len(r.Parts.Held)))
	for _, held := range r.Parts.Held {
		dst = binary.AppendUvarint(dst, uint64(held.Start))
		dst = binary.AppendUvarint(dst, uint64(held.Length))
	}
	return dst
}

// field is one of a Header.
type field struct {
	name   string
	values []string
}

// appendHeader writes how many names and values there are in all, then each name with its values,
// sorted.
func appendHeader(dst []byte, h http.Header) []byte {
	var room [24]field // more than most headers have
	fields, values := room[:0], 0
	for name, v := range h {
		fields = append(fields, field{name, v})
		values += len(v)
	}
	sortFields(fields)
	dst = binary.AppendUvarint(dst, uint64(len(h)))
	dst = binary.AppendUvarint(dst, uint64(values))
	for i := range fields {
		dst = appendStrings(appendString(dst, fields[i].name), fields[i].values)
	}
	return dst
}

// sortFields sorts by name. Few are sorted in half the time that package slices takes.
func sortFields(fields []field) {
	if len(fields) > 24 {
		slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
		return
	}
	for i := 1; i < len(fields); i++ {
		f, at := fields[i], i
		for ; at > 0 && f.name < fields[at-1].name; at-- {
			fields[at] = fields[at-1]
		}
		fields[at] = f
	}
}

func appendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix())
	return binary.AppendUvarint(dst, uint64(t.Nanosecond()))
}

// DecodeResponse parses what Encode wrote; src may come from a damaged disk, and
// whatever it says, memory stays in proportion to its length. The response does
// not share memory with src. The error is [ErrDamaged].
func DecodeResponse(src []byte) (*Response, error) {
	d := decoder{s: string(src)}
	if d.byte() != codecVersion {
		return nil, ErrDamaged
	}
	r := &Response{Status: int(d.below(1000))}
	r.RequestTime = d.time()
	r.ResponseTime = d.time()
	r.Length = int64(d.below(1<<63)) - 1
	r.Selection = Selection(d.string())

	t := &r.Terms
	for _, p := range []*time.Duration{&t.InitialAge, &t.Lifetime, &t.StaleWhileRevalidate, &t.StaleIfError} {
		*p = time.Duration(d.varint())
	}
	flags := d.byte()
	t.MustRevalidate = flags&flagMustRevalidate != 0
	t.NoCache = flags&flagNoCache != 0
	r.Epoch = d.uvarint()

	if n := d.count(1); n > 0 {
		r.Tags = make([]string, n)
		for i := range r.Tags {
			r.Tags[i] = d.string()
		}
	}
	r.Header = d.header(d.string)
	if flags&flagParts != 0 {
		r.Parts = d.parts(r.Length)
	}
	if d.bad || d.s != "" || flags > flagsKnown || !r.Selection.valid() {
		return nil, ErrDamaged
	}
	return r, nil
}

// decoder takes values off the front of s. After the first that is not there,
// bad is set, s is empty and every value is zero.
type decoder struct {
	s   string
	bad bool
}

func (d *decoder) fail() { d.bad, d.s = true, "" }

func (d *decoder) byte() byte {
	if d.s == "" {
		d.fail()
		return 0
	}
	b := d.s[0]
	d.s = d.s[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		b := d.byte()
		if shift == 63 && b > 1 {
			break
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	d.fail()
	return 0
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

// below takes a number that must be less than limit.
func (d *decoder) below(limit uint64) uint64 {
	n := d.uvarint()
	if n >= limit {
		d.fail()
		return 0
	}
	return n
}

// count takes the length of a list whose items are at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.s)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count(1)
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *decoder) time() time.Time {
	sec, nsec := d.varint(), d.below(1e9)
	return time.Unix(sec, int64(nsec)).UTC()
}

// header takes the fields. All values share one array.
func (d *decoder) header(takeName func() string) http.Header {
	names, total := d.count(2), d.count(1)
	h := make(http.Header, names)
	values := make([]string, total)
	for range names {
		name := takeName()
		n := d.count(1)
		if _, twice := h[name]; twice || n > len(values) {
			d.fail()
		}
		if d.bad {
			return nil
		}
		own := values[:n:n]
		values = values[n:]
		for i := range own {
			own[i] = d.string()
		}
		h[name] = own
	}
	if len(values) > 0 {
		d.fail()
	}
	return h
}

// parts takes the ranges of a body of length bytes.
func (d *decoder) parts(length int64) *Parts {
	p := &Parts{Size: int64(d.below(1<<63)) - 1}
	next, total := int64(0), int64(0)
	for range d.count(2) {
		r := Range{Start: int64(d.below(1 << 63)), Length: int64(d.below(1 << 63))}
		end := r.Start + r.Length
		if r.Start < next || r.Length == 0 || end < r.Start || p.Size >= 0 && end > p.Size {
			d.fail()
			return nil
		}
		p.Held = append(p.Held, r)
		next, total = end+1, total+r.Length // what touches is one range
	}
	if len(p.Held) == 0 || length >= 0 && total != length {
		d.fail()
	}
	return p
}
