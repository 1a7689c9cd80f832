package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A record is a value as it is on disk. Its bytes begin with the version of their format:
//
//	1  varints: number, epoch, written, fresh, until (nanoseconds since 1970, 0 for never)
//	   with their lengths: type, metadata, how many tags and each of them
//	   the value's bytes
type record struct {
	Value // with the epoch at which it was written
}

const recordVersion = 1

var errRecord = errors.New("kv: not a record of a value")

func (r *record) encode() []byte {
	b := make([]byte, 0, 64+len(r.Type)+len(r.Metadata)+len(r.Bytes))
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, r.Version)
	b = binary.AppendUvarint(b, r.Epoch)
	for _, t := range []time.Time{r.Written, r.Fresh, r.Until} {
		b = binary.AppendVarint(b, nanoseconds(t))
	}
	b = appendText(b, r.Type)
	b = appendText(b, string(r.Metadata))
	b = binary.AppendUvarint(b, uint64(len(r.Tags)))
	for _, tag := range r.Tags {
		b = appendText(b, tag)
	}
	return append(b, r.Bytes...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// decodeRecord returns the record of which src are the bytes, and keeps src.
func decodeRecord(src []byte) (*record, error) {
	d := recordReader{rest: src}
	if version := d.byte(); version != recordVersion {
		return nil, fmt.Errorf("%w: its format is %d, and this knows %d", errRecord, version, recordVersion)
	}
	r := &record{}
	r.Version, r.Epoch = d.number(), d.number()
	r.Written, r.Fresh, r.Until = d.time(), d.time(), d.time()
	r.Type = string(d.text(MaxType))
	if m := d.text(MaxMetadata); len(m) > 0 {
		r.Metadata = m
	}
	count := d.number()
	if count > MaxTags {
		d.short = true
	}
	for range count {
		if d.short {
			break
		}
		r.Tags = append(r.Tags, string(d.text(MaxTag)))
	}
	if d.short || len(d.rest) > MaxValue {
		return nil, fmt.Errorf("%w: malformed", errRecord)
	}
	r.Bytes = d.rest
	return r, nil
}

// recordReader takes bytes apart. Once they are too short it gives zeros.
type recordReader struct {
	rest  []byte
	short bool
}

func (d *recordReader) byte() byte {
	if len(d.rest) == 0 {
		d.short = true
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *recordReader) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	return v * d.took(n)
}

func (d *recordReader) time() time.Time {
	v, n := binary.Varint(d.rest)
	if d.took(n) == 0 || v == 0 {
		return time.Time{}
	}
	return time.Unix(0, v)
}

// took goes on behind a number of n bytes, and returns 1; 0 when there was none.
func (d *recordReader) took(n int) uint64 {
	if n <= 0 {
		d.rest, d.short = nil, true
		return 0
	}
	d.rest = d.rest[n:]
	return 1
}

func (d *recordReader) text(limit uint64) []byte {
	n := d.number()
	if n > limit || n > uint64(len(d.rest)) {
		d.rest, d.short = nil, true
		return nil
	}
	text := d.rest[:n:n]
	d.rest = d.rest[n:]
	return text
}
