package shield

import "errors"

// Errors of a request that was not sent to an origin.
var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("shield: closed")
	// ErrOverloaded means that a limit on flights or waiting clients is reached.
	ErrOverloaded = errors.New("shield: too many requests in flight")
	// ErrOnlyIfCached answers a request with only-if-cached when nothing stored
	// may be used: 504, RFC 9111 5.2.1.7.
	ErrOnlyIfCached = errors.New("shield: nothing stored may answer, and the request forbids asking the origin")
	// ErrNoOrigin means that the policy table does not hold the request's origin.
	ErrNoOrigin = errors.New("shield: no such origin")
	// ErrTarget is a request target that cannot be forwarded byte for byte.
	ErrTarget = errors.New("shield: request target cannot be forwarded as it is")
)

// Errors of an origin.
var (
	// ErrOriginUnreachable means that no connection could be made, or that it was
	// lost before the response head.
	ErrOriginUnreachable = errors.New("shield: origin unreachable")
	// ErrOriginTimeout means that the origin was silent for longer than the policy allows.
	ErrOriginTimeout = errors.New("shield: origin timed out")
	// ErrOriginProtocol means that the origin's answer is not proper HTTP.
	ErrOriginProtocol = errors.New("shield: origin broke the protocol")
	// ErrOriginFailed means that the origin answered with 500, 502, 503 or 504.
	ErrOriginFailed = errors.New("shield: origin failed")
	// ErrOriginTruncated is what readers get when a body ends before its declared end.
	ErrOriginTruncated = errors.New("shield: origin's body was cut short")
)

// Errors of readers and flights.
var (
	// ErrStalled cuts off a reader that kept the fill waiting for too long.
	ErrStalled = errors.New("shield: reader too slow for a body that is not stored")
	// ErrPanic means that what fetched the response panicked.
	ErrPanic = errors.New("shield: panic while fetching")
	// ErrStore is what a reader gets when stored bytes behind it cannot be read again.
	ErrStore = errors.New("shield: stored bytes cannot be read")
	// ErrReplaced means that what was validated is not what is stored any more.
	ErrReplaced = errors.New("shield: the stored response was replaced")
	// ErrChanged ends a body that is read in slices when the origin has another version by now.
	ErrChanged = errors.New("shield: the response changed while it was read in slices")
	// ErrLog means that a purge holds in memory but could not be made durable.
	ErrLog = errors.New("shield: purge log")
)

// errBodyClosed ends a read of a body that was closed.
var errBodyClosed = errors.New("shield: read of a closed body")

// errAbandoned is the cause of a fetch that nobody wants any more.
var errAbandoned = errors.New("shield: nobody wants the response any more")
