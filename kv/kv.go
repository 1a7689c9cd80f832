package kv

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Limits of what is kept.
const (
	MaxKey      = 1 << 10 // bytes
	MaxValue    = 8 << 20 // bytes
	MaxType     = 256     // bytes of a media type
	MaxMetadata = 4 << 10 // bytes of JSON
	MaxTags     = 100
	MaxTag      = 256 // bytes
	MaxMany     = 1000
	MaxLifetime = 100 * 365 * 24 * time.Hour // fresh and stale together

	MaxManyBytes = 64 << 20         // of the values in one answer of GetMany
	ManyMargin   = MaxValue + 4<<20 // that may be in memory for it beyond its limit
)

// What can go wrong with a request. Nothing has changed then, unless it is said otherwise.
var (
	ErrMissing     = errors.New("kv: no such value")
	ErrKey         = errors.New("kv: key")           // not one: says why
	ErrInvalid     = errors.New("kv: invalid value") // too large, metadata that is no JSON, a negative lifetime: says which
	ErrCondition   = errors.New("kv: the condition does not hold")
	ErrNotNumber   = errors.New("kv: the value is not a whole number")
	ErrOverflow    = errors.New("kv: the number would leave the range of 64 bits")
	ErrTooMuch     = errors.New("kv: the values are too large together") // ask for fewer at a time
	ErrUnavailable = errors.New("kv: the shield cannot be reached")      // a write may have happened, or may not
	ErrDisk        = errors.New("kv: the disk fails")                    // the same
)

// A Value is what is kept under a key. Nobody changes its bytes.
type Value struct {
	Bytes    []byte
	Type     string          // media type, "" when none was given
	Metadata json.RawMessage // JSON on one line, or nil
	Tags     []string
	Version  uint64    // of the write, never 0; no two writes of a key have the same
	Written  time.Time // by the clock of whoever reads it
	Fresh    time.Time // until then it is fresh; zero: always
	Until    time.Time // until then it is there; zero: always. Between the two it is stale.
	Epoch    uint64    // of the purge log, from before this was read from the shield's disk
}

// A Draft is a value that is to be kept.
type Draft struct {
	Bytes    []byte
	Type     string
	Metadata json.RawMessage
	Tags     []string
	TTL      time.Duration // fresh for so long; 0: for ever
	Stale    time.Duration // and stale for so long after that
}

// A Condition is what must hold for a write; the zero value always does.
type Condition struct {
	Absent  bool   // nothing is there
	Present bool   // something is
	Version uint64 // this is there; 0: any

	// Since is an epoch of the purge log: no later rule names the key, nor a tag of the draft;
	// 0: whatever it says. It is for values that were made from what was so at that epoch. A
	// write or a deletion meanwhile, of a key with nothing under it too, is such a rule.
	Since uint64
}

// An Increment is a change of a number.
type Increment struct {
	By  int64
	TTL time.Duration // of a number that begins with this. 0: for ever
}

// A Count is a number after an increment.
type Count struct {
	Number  int64
	Version uint64
	Fresh   time.Time // as of a Value
}

// Store keeps values. Its methods are called concurrently; keys and drafts that break the
// limits are refused with [ErrKey] and [ErrInvalid].
type Store interface {
	// Get returns what is under key, fresh or stale, or ErrMissing.
	Get(ctx context.Context, key string) (*Value, error)

	// GetMany returns what is under each of at most MaxMany keys, nil for what is missing, or
	// ErrTooMuch when it would be more than limit bytes, of which MaxManyBytes are the most.
	// Up to ManyMargin more are in memory before that is known.
	GetMany(ctx context.Context, keys []string, limit int) ([]*Value, error)

	// Set keeps a value in the place of what is there, and returns its version. Nobody
	// changes the bytes of d from then on.
	Set(ctx context.Context, key string, d Draft, c Condition) (version uint64, err error)

	// Delete removes what is under key, or says ErrMissing; the log is told in either case.
	// A condition that wants something to be there and finds nothing is ErrCondition.
	Delete(ctx context.Context, key string, c Condition) error

	// Incr adds to a number, from 0 where nothing is. A number is kept as decimal digits.
	// What is there, stale or not, keeps its lifetime, tags, type and metadata.
	Incr(ctx context.Context, key string, i Increment) (Count, error)
}
