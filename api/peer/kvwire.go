package peer

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"weir/kv"
)

// PathKV is where edges ask for values and write them. The body of a request is the frame of
// a [KVAsk] and the bytes of the value, if it sets one; that of an answer is the frame of a
// [KVReply] and the bytes of the values that it has, one after another.
const PathKV = "/v1/peer/kv"

// KVOp is what an edge wants done with values.
type KVOp uint64

// What can be asked for. Get and GetMany are the same but for how many keys they have.
const (
	KVGet KVOp = iota
	KVGetMany
	KVSet
	KVDelete
	KVIncr
	kvOps // how many there are
)

// MaxKVAsk is how long a KVAsk may be, and MaxKVReply a KVReply, without the bytes of values.
const (
	MaxKVAsk   = 2 << 20
	MaxKVReply = 2*MaxKVPart + 1<<20
)

// MaxKVPart is how much a shield puts into one answer to GetMany, in bytes, and the value in
// which it comes to that. The rest it leaves to be asked for.
const MaxKVPart = kv.ManyMargin - kv.MaxValue

// KVAsk is one call of a kv.Store.
type KVAsk struct {
	Op        KVOp
	Keys      []string // one but for KVGetMany
	Draft     kv.Draft // of KVSet; its Bytes follow
	Size      uint64   // how many they are
	Condition kv.Condition
	Increment kv.Increment
}

// Encode returns the binary form of a.
func (a *KVAsk) Encode() []byte {
	e := make(encoder, 0, 256)
	e.uint(uint64(a.Op))
	e.texts(a.Keys)
	d, c, i := &a.Draft, &a.Condition, &a.Increment
	e.uint(a.Size)
	e.text(d.Type)
	e.text(string(d.Metadata))
	e.texts(d.Tags)
	e.int(int64(d.TTL))
	e.int(int64(d.Stale))
	e.flags(c.Absent, c.Present)
	e.uint(c.Version)
	e.uint(c.Since)
	e.int(i.By)
	e.int(int64(i.TTL))
	return e
}

// DecodeKVAsk parses what Encode wrote. The error is [ErrMalformed].
func DecodeKVAsk(src []byte) (*KVAsk, error) {
	d, a := decoder{s: string(src)}, &KVAsk{}
	a.Op, a.Keys = KVOp(d.uint()), d.texts()
	a.Size = d.uint()
	a.Draft.Type, a.Draft.Metadata, a.Draft.Tags = d.text(), raw(d.text()), d.texts()
	a.Draft.TTL, a.Draft.Stale = time.Duration(d.int()), time.Duration(d.int())
	d.flags(&a.Condition.Absent, &a.Condition.Present)
	a.Condition.Version, a.Condition.Since = d.uint(), d.uint()
	a.Increment.By, a.Increment.TTL = d.int(), time.Duration(d.int())
	if a.Op >= kvOps || a.Op != KVGetMany && len(a.Keys) != 1 || a.Op != KVSet && a.Size != 0 || a.Size > kv.MaxValue || len(a.Keys) == 0 || len(a.Keys) > kv.MaxMany {
		d.fail()
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return a, nil
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// verdicts are how a call ends, by the numbers that stand for them. They are only added to.
var verdicts = []error{nil, kv.ErrMissing, kv.ErrKey, kv.ErrInvalid, kv.ErrCondition, kv.ErrNotNumber, kv.ErrOverflow, kv.ErrDisk}

// A KVReply is how a call of a kv.Store has ended, as far as one of package kv's errors tells.
type KVReply struct {
	Verdict uint64
	Why     string // what the error says, in the shield's words

	Found   []KVFound // one for each key of KVGet and KVGetMany
	Version uint64    // of KVSet and KVIncr
	Number  int64     // of KVIncr
	Left    KVLeft    // the same
}

// KVLeft is how long something is still fresh. It is told as durations: clocks of nodes differ.
type KVLeft struct {
	Ends bool
	Time time.Duration
}

// KVFound is what was found under a key.
type KVFound struct {
	There bool // false: it is missing
	Later bool // whether it is there was not looked up: ask again

	Size         uint64
	Value        kv.Value      // without Bytes and times
	Age          time.Duration // since it was written
	Fresh, Until KVLeft
}

// maxWhy is how much of an error's text travels.
const maxWhy = 1 << 10

// VerdictOf makes the reply of an error. ok is false for one that is not of a kind that travels.
func VerdictOf(err error) (r *KVReply, ok bool) {
	for i, known := range verdicts {
		if errors.Is(err, known) {
			r = &KVReply{Verdict: uint64(i)}
			if err != nil {
				text := strings.TrimPrefix(err.Error(), known.Error())
				r.Why = strings.TrimPrefix(text[:min(len(text), maxWhy)], ": ")
			}
			return r, true
		}
	}
	return nil, false
}

// Err is the error that r stands for, nil when the call went well.
func (r *KVReply) Err() error {
	if r.Verdict == 0 {
		return nil
	}
	return &kvError{verdicts[r.Verdict], r.Why}
}

// kvError says of an error what the shield said of it.
type kvError struct {
	kind error
	why  string
}

func (e *kvError) Unwrap() error { return e.kind }

func (e *kvError) Error() string {
	if e.why == "" {
		return e.kind.Error()
	}
	return e.kind.Error() + ": " + e.why
}

// Find adds what was found under a key, as of now.
func (r *KVReply) Find(v *kv.Value, now time.Time) { r.Found = append(r.Found, foundOf(v, now)) }

func foundOf(v *kv.Value, now time.Time) (f KVFound) {
	if v != nil {
		f = KVFound{There: true, Size: uint64(len(v.Bytes)), Value: *v, Age: max(0, now.Sub(v.Written)), Fresh: LeftUntil(v.Fresh, now), Until: LeftUntil(v.Until, now)}
		f.Value.Bytes = nil
		f.Value.Written, f.Value.Fresh, f.Value.Until = time.Time{}, time.Time{}, time.Time{}
	}
	return f
}

// LeftUntil is how long it is from now until a time, which ends never when it is zero.
func LeftUntil(t, now time.Time) KVLeft {
	if t.IsZero() {
		return KVLeft{}
	}
	return KVLeft{Ends: true, Time: t.Sub(now)}
}

// After is when that is by the clock of one who asked at a time: as soon as it can be.
func (l KVLeft) After(asked time.Time) time.Time {
	if !l.Ends {
		return time.Time{}
	}
	return asked.Add(l.Time)
}

// value is what was found, by the clock of one who asked at a time.
func (f *KVFound) value(bytes []byte, asked time.Time) *kv.Value {
	v := f.Value
	v.Bytes = bytes
	v.Written, v.Fresh, v.Until = asked.Add(-f.Age), f.Fresh.After(asked), f.Until.After(asked)
	return &v
}

// Encode returns the binary form of r.
func (r *KVReply) Encode() []byte {
	e := make(encoder, 0, 256)
	e.uint(r.Verdict)
	e.text(r.Why)
	e.uint(r.Version)
	e.int(r.Number)
	e.left(r.Left)
	e.uint(uint64(len(r.Found)))
	for i := range r.Found {
		e.found(&r.Found[i])
	}
	return e
}

func (e *encoder) found(f *KVFound) {
	e.flags(f.There, f.Later)
	if !f.There {
		return
	}
	v := &f.Value
	e.uint(f.Size)
	e.text(v.Type)
	e.text(string(v.Metadata))
	e.texts(v.Tags)
	e.uint(v.Version)
	e.uint(v.Epoch)
	e.int(int64(f.Age))
	e.left(f.Fresh)
	e.left(f.Until)
}

func (e *encoder) left(l KVLeft) {
	e.flags(l.Ends)
	e.int(int64(l.Time))
}

// DecodeKVReply parses what Encode wrote. The error is [ErrMalformed].
func DecodeKVReply(src []byte) (*KVReply, error) {
	d, r := decoder{s: string(src)}, &KVReply{}
	r.Verdict, r.Why, r.Version, r.Number, r.Left = d.uint(), d.text(), d.uint(), d.int(), d.left()
	for range d.count() {
		r.Found = append(r.Found, d.found())
	}
	if r.Verdict >= uint64(len(verdicts)) || len(r.Found) > kv.MaxMany {
		d.fail()
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return r, nil
}

func (d *decoder) found() (f KVFound) {
	d.flags(&f.There, &f.Later)
	if f.There {
		v := &f.Value
		f.Size, v.Type, v.Metadata, v.Tags = d.uint(), d.text(), raw(d.text()), d.texts()
		v.Version, v.Epoch = d.uint(), d.uint()
		f.Age, f.Fresh, f.Until = time.Duration(d.int()), d.left(), d.left()
	}
	if f.There && f.Later || f.Size > kv.MaxValue {
		d.fail()
	}
	return f
}

func (d *decoder) left() (l KVLeft) {
	d.flags(&l.Ends)
	l.Time = time.Duration(d.int())
	return l
}

// answers says whether r can be the answer to a question about so many keys, of which
// the first at least is looked up.
func (r *KVReply) answers(op KVOp, keys int) bool {
	if r.Verdict != 0 || op != KVGet && op != KVGetMany {
		return len(r.Found) == 0
	}
	return len(r.Found) == keys && keys > 0 && !r.Found[0].Later && (op == KVGetMany || r.Found[0].There) &&
		!slices.ContainsFunc(r.Found, func(f KVFound) bool { return f.There && f.Value.Version == 0 })
}
