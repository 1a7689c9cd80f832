package kv

import (
	"context"
	"time"
)

// Disk keeps records durably. Its methods are called concurrently.
type Disk interface {
	// Read returns a copy of the record under key, or nil. It sees what is durable and
	// nothing else.
	Read(key string) ([]byte, error)

	// Update changes what is under key, and returns once that is durable. change is called
	// with the record that the update before it left, or nil, which is its own until it
	// returns, and a number that no other call has ever got, never 0; not concurrently with
	// others for the key, and once, though perhaps with what will not become durable. It
	// returns the record to keep, nil for none, and until when it is worth its room; zero:
	// always. With an error of change nothing changes, and Update returns that error; nor with
	// one that wraps ErrInvalid, for a record that is too large. Of another it is not known.
	Update(key string, change func(old []byte, number uint64) (record []byte, until time.Time, err error)) error
}

// Purges is the purge log, or a follower of one.
type Purges interface {
	// Current is the epoch that the log has come to here.
	Current() uint64

	// Outdated says whether a rule later than epoch names the value under key, or one of
	// the tags. A key of "" is no key.
	Outdated(key string, tags []string, epoch uint64) bool

	// StaleTags says whether a soft rule later than epoch names one of the tags. What
	// has it is stale, and there for as long as it was.
	StaleTags(tags []string, epoch uint64) bool
}

// Log is the purge log at the shield.
type Log interface {
	Purges

	// Wrote tells everybody that what is under keys has changed; all values when none is
	// given. It returns the epoch of that once it is durable.
	Wrote(keys ...string) (epoch uint64, err error)

	// Announce is Wrote of one key of which the record is no longer than MaxPushed, or gone.
	Announce(key string) (epoch uint64, err error)
}

// Memory holds what an [Edge] remembers, under a budget. What is put in may be gone at once.
type Memory interface {
	Get(key string) (v any, ok bool)
	Put(key string, v any, bytes int64)
	Delete(key string)

	// Peek is Get where nobody wants to read, and Replace is Put where something is under key:
	// neither makes it worth more.
	Peek(key string) (v any, ok bool)
	Replace(key string, v any, bytes int64)
}

// Sight says from when on something must have been read to be used, because purges may have
// been missed; zero: everything may.
type Sight func(ctx context.Context, now time.Time) (since time.Time)
