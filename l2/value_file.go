package l2

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	bolt "go.etcd.io/bbolt"

	"weir/keying"
)

// values.db is one bbolt file:
//
//	bucket "values 1"  "counts": valueCounts
//	bucket "log"       <position>: a value's frame; positions ascend, so what is new is always at the end
//	                   <position><number>: a chunk of its body, when it does not fit into the frame
//	bucket "keys"      <digest of the key>: its position
//	bucket "until"     <time><position>, of values that expire
//	bucket "chunks"    <part>: a bucket with the chunks of a body that is long, by number
var (
	bucketValues = []byte("values 1")
	bucketOrder  = []byte("log")
	bucketKeys   = []byte("keys")
	bucketUntil  = []byte("until")
	bucketChunks = []byte("chunks")
	keyCounts    = []byte("counts")
)

// perValue is about what finding a value takes up beside its frame and body: its entries in "keys" and "until", in
// pages that are half full.
const perValue = 160

// digestOf is what a key is found by. It is cryptographic, because clients choose keys.
func digestOf(key string) keying.Digest {
	sum := sha256.Sum256([]byte(key))
	return keying.Digest(sum[:16])
}

// valueTx is values.db within a transaction. One that only looks a value up has just order and keys.
type valueTx struct {
	tx                               *bolt.Tx
	root, order, keys, until, chunks *bolt.Bucket
}

// valuesOf finds the buckets.
func valuesOf(tx *bolt.Tx) (*valueTx, error) {
	t := &valueTx{
		tx: tx, root: tx.Bucket(bucketValues), order: tx.Bucket(bucketOrder), keys: tx.Bucket(bucketKeys),
		until: tx.Bucket(bucketUntil), chunks: tx.Bucket(bucketChunks),
	}
	if t.root == nil || t.order == nil || t.keys == nil || t.until == nil || t.chunks == nil {
		return nil, fmt.Errorf("%w: no values of this version in it", ErrForeign)
	}
	t.order.FillPercent = 1 // ascending keys: full pages
	return t, nil
}

func createValues(tx *bolt.Tx, c valueCounts) error {
	for _, name := range [][]byte{bucketValues, bucketOrder, bucketKeys, bucketUntil, bucketChunks} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketValues).Put(keyCounts, c.frame())
}

func (t *valueTx) counts() (valueCounts, error) {
	c, err := decodeCounts(t.root.Get(keyCounts))
	if err != nil {
		return c, fmt.Errorf("%w: counts: %w", ErrDamaged, err)
	}
	return c, nil
}

// position is where the value of a digest is; 0 is nowhere.
func (t *valueTx) position(d keying.Digest) uint64 {
	if v := t.keys.Get(d[:]); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func bePosition(at uint64) []byte { return binary.BigEndian.AppendUint64(nil, at) }

func untilKey(until int64, at uint64) []byte {
	return binary.BigEndian.AppendUint64(bePosition(uint64(until)), at)
}

// record returns a copy of the record of a key; nil when there is none. An error says that there was, and is not
// as it should be.
func (t *valueTx) record(d keying.Digest, key string) ([]byte, error) {
	at := t.position(d)
	if at == 0 {
		return nil, nil
	}
	f, err := decodeValue(t.order.Get(bePosition(at)), at)
	if err != nil {
		return nil, err
	}
	body, err := t.body(&f)
	if err != nil {
		return nil, err
	}
	k, record, err := splitBody(body)
	if err == nil && k != key {
		err = errIdentity
	}
	if err != nil {
		return nil, err
	}
	if f.where == bodyInside {
		record = append([]byte{}, record...) // it lies in the mapping
	}
	return record, nil
}

// body is the body of f: in the mapping when it is inside, else a copy.
func (t *valueTx) body(f *valueFrame) ([]byte, error) {
	b, prefix := t.order, bePosition(f.at)
	switch f.where {
	case bodyInside:
		return f.body, nil
	case bodyApart:
		if b, prefix = t.tx.Bucket(bucketChunks), nil; b != nil {
			b = b.Bucket(bePosition(f.part))
		}
		if b == nil {
			return nil, errTruncated
		}
	}
	body := make([]byte, 0, min(int(f.size), maxValue))
	c := b.Cursor()
	k, chunk := c.Seek(append(prefix, 0, 0))
	for bytes.HasPrefix(k, prefix) && chunk != nil && len(body) <= int(f.size) {
		body = append(body, chunk...)
		k, chunk = c.Next()
	}
	return body, f.check(body)
}

// put writes a value at a position that nothing has.
func (t *valueTx) put(c *valueCounts, d keying.Digest, at uint64, until time.Time, body []byte) error {
	f := valueFrame{at: at, until: untilNano(until), body: body, size: uint32(len(body))}
	if len(body) <= valueInside {
		return t.link(c, d, &f)
	}
	f.where, f.sum, f.key = bodyBeside, xxhash.Sum64(body), d
	b, prefix := t.order, bePosition(at)
	if len(body) > valueBeside {
		f.where, f.part = bodyApart, at
		var err error
		if b, err = t.chunks.CreateBucket(prefix); err != nil {
			return err
		}
		b.FillPercent = 1
		prefix = nil
	}
	return errors.Join(t.link(c, d, &f), putChunks(b, prefix, body))
}

// putChunks writes a body in chunks.
func putChunks(b *bolt.Bucket, prefix, body []byte) error {
	for i := uint16(0); len(body) > 0; i++ {
		n := min(len(body), valueChunk)
		if err := b.Put(binary.BigEndian.AppendUint16(slices.Clone(prefix), i), body[:n]); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

// untilNano is a time in Unix nanoseconds, as far as they reach; 0 for the zero time.
func untilNano(t time.Time) int64 {
	const first, last = 0, math.MaxInt64 / int64(time.Second)
	switch s := t.Unix(); {
	case t.IsZero() || s >= last:
		return 0
	case s < first:
		return 1
	}
	return max(t.UnixNano(), 1)
}

// nanoUntil is the time that untilNano was given.
func nanoUntil(until int64) time.Time {
	if until == 0 {
		return time.Time{}
	}
	return time.Unix(0, until)
}

// digest is what finds f's value.
func (f *valueFrame) digest() (keying.Digest, error) {
	if f.where != bodyInside {
		return f.key, nil
	}
	key, _, err := splitBody(f.body)
	return digestOf(key), err
}

// link writes f and what finds it.
func (t *valueTx) link(c *valueCounts, d keying.Digest, f *valueFrame) error {
	at := bePosition(f.at)
	c.values++
	c.bytes += f.cost()
	if f.until != 0 {
		if err := t.until.Put(untilKey(f.until, f.at), nil); err != nil {
			return err
		}
	}
	return errors.Join(t.order.Put(at, f.append(nil)), t.keys.Put(d[:], at))
}

// unlink removes f and what finds it, but not a body that is apart.
func (t *valueTx) unlink(c *valueCounts, d keying.Digest, f *valueFrame) error {
	c.values -= min(c.values, 1)
	c.bytes -= min(c.bytes, f.cost())
	if f.until != 0 {
		if err := t.until.Delete(untilKey(f.until, f.at)); err != nil {
			return err
		}
	}
	return errors.Join(t.clear(f.at), t.keys.Delete(d[:]))
}

// clear removes what is at a position, chunks included.
func (t *valueTx) clear(at uint64) error {
	var keys [][]byte
	prefix := bePosition(at)
	c := t.order.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, slices.Clone(k))
	}
	for _, k := range keys {
		if err := t.order.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// cost is about what f takes up in the file when there are no holes.
func (f *valueFrame) cost() uint64 {
	chunks := (uint64(f.size) + valueChunk - 1) / valueChunk
	switch f.where {
	case bodyInside:
		return perValue + uint64(f.size)
	case bodyBeside:
		return perValue + uint64(f.size) + 32*(chunks+1)
	}
	return 2*perValue + pageSize*((chunks+3)/4+chunks/500+1)
}

// remove removes the value of a digest, if there is one.
func (t *valueTx) remove(c *valueCounts, d keying.Digest) error {
	at := t.position(d)
	if at == 0 {
		return nil
	}
	f, err := decodeValue(t.order.Get(bePosition(at)), at)
	if err != nil {
		f = valueFrame{at: at} // damaged: when it expires is not known, and its chunks are not found
	}
	return errors.Join(t.unlink(c, d, &f), t.removeApart(&f))
}

// removeApart removes a body that is apart.
func (t *valueTx) removeApart(f *valueFrame) error {
	if f.part == 0 || t.chunks.Bucket(bePosition(f.part)) == nil {
		return nil
	}
	return t.chunks.DeleteBucket(bePosition(f.part))
}
