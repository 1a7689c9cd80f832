package shield

import (
	"io"
	"iter"
	"net/http"

	"weir/keying"
	"weir/rfc9111"
)

// Store is the disk tier as the shield needs it. All methods may be called
// concurrently. A key can have several variants, told apart by Selection.
type Store interface {
	// Lookup returns the stored variant of key that a request with header h
	// selects, or nil without an error when there is none. It counts as a use.
	// The caller closes the object.
	Lookup(key keying.Key, h http.Header) (Object, error)

	// Varies returns selections of stored variants of key, by which the selection
	// of another request can be made; none when the key is not known to vary.
	// It answers from memory.
	Varies(key keying.Key) []rfc9111.Selection

	// Create begins to store a response whose Length may still be -1. An error
	// means that it is not stored; it is served all the same.
	Create(key keying.Key, resp *rfc9111.Response) (Writer, error)

	// Freshen replaces the head old, which was validated, by resp and keeps the body.
	// ErrReplaced says that something else, or nothing, is stored by now.
	Freshen(key keying.Key, old, resp *rfc9111.Response) error

	// Drop removes the variant of key with a selection.
	Drop(key keying.Key, selection rfc9111.Selection) error

	// MaxObject is the longest body in bytes that the store takes.
	MaxObject() int64
}

// Object is a stored response. It stays readable until Close, whatever happens to
// the store's copy in the meantime. ReadAt may be called concurrently and returns
// only bytes whose checksum held.
type Object interface {
	Response() *rfc9111.Response
	io.ReaderAt
	Close() error
}

// Writer stores one response. One goroutine writes and ends it with exactly one of
// Commit and Abort, Abort also after a failed Write or Commit. ReadAt reads what was written
// so far; it may be called concurrently with Write, and is never called during or
// after Commit and Abort.
type Writer interface {
	io.Writer
	io.ReaderAt
	// Commit makes the response visible at once, and durable soon. resp is the
	// final head, with its Length.
	Commit(resp *rfc9111.Response) error
	Abort()
}

// Listener is the memory tier as the shield needs it. Filled hands over a whole
// body, once per fill and before the flight is released; both are frozen from
// then on. Dropped says that a variant of key is not to be used any more.
type Listener interface {
	Filled(key keying.Key, resp *rfc9111.Response, body []byte)
	Dropped(key keying.Key, selection rfc9111.Selection)
}

// Log makes purge rules durable. Append returns when the rule would survive a
// power cut; it may be called concurrently, and epochs may arrive out of order.
// Replay calls f for every appended rule, in any order, and stops at f's error.
type Log interface {
	Append(epoch uint64, rule []byte) error
	Replay(f func(epoch uint64, rule []byte) error) error
	// Rewrite replaces all rules by those of a sequence, durably and as one step.
	// The sequence is read after the last Append that returned, and Appends wait.
	Rewrite(rules iter.Seq2[uint64, []byte]) error
}
