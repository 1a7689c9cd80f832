package api

import (
	"errors"
	"fmt"
	"strings"

	"weir/api/peer"
	"weir/kv"
)

// valueFaults are the errors of values that always say the same.
var valueFaults = []struct {
	err   error
	fault fault
}{
	{kv.ErrMissing, fault{
		status: 404, code: "missing", message: "Nothing is stored under this key.",
		hint: "It was never written, or it has expired, or it was deleted, purged or evicted.",
	}},
	{kv.ErrCondition, *conditionFailed},
	{kv.ErrTooMuch, *tooMuch},
	{kv.ErrNotNumber, fault{
		status: 409, code: "not-a-number", message: "What is stored under this key is not a whole number of 64 bits; nothing was changed.",
		hint: "Count under another key, or PUT a number first.",
	}},
	{kv.ErrOverflow, fault{
		status: 409, code: "overflow", message: "The number would leave the range of 64 bits; nothing was changed.",
		hint: "Count by less, or begin anew: DELETE it.",
	}},
	{kv.ErrUnavailable, fault{
		status: 503, code: "shield-unreachable", message: "The shield, which keeps all values, does not answer.",
		hint: "Ask again. A write may have happened or may not: read before you write again.", retry: 1,
	}},
	{kv.ErrDisk, fault{
		status: 503, code: "disk-failed", message: "The disk of the shield did not do its part.",
		hint: "The shield's log says why; is it full? A write may have happened or may not: read before you write again.", retry: 1,
	}},
	{peer.ErrCrowded, fault{
		status: 503, code: "overloaded", message: "Too many large values are on their way; nothing was done.",
		hint: "Ask again after the time in Retry-After.", retry: 1,
	}},
}

var (
	conditionFailed = &fault{
		status: 412, code: "condition-failed", message: "What is stored is not what the request is conditional on; nothing was changed.",
		hint: "Read the value again, and decide again.",
	}
	tooLarge = &fault{
		status: 413, code: "too-large", close: true, message: fmt.Sprintf("A value has at most %d MiB; nothing was stored.", kv.MaxValue>>20),
		hint: "Store it in parts, under several keys.",
	}
	tooMuch = &fault{
		status: 413, code: "too-large", message: fmt.Sprintf("These values have more than %d MiB together.", kv.MaxManyBytes>>20),
		hint: "Ask for fewer at a time.",
	}
)

// valueFault is the fault of an error of values, nil of another.
func valueFault(err error) *fault {
	switch {
	case errors.Is(err, kv.ErrKey):
		return badKey(reason(err, kv.ErrKey), err)
	case errors.Is(err, kv.ErrInvalid):
		return badValue(reason(err, kv.ErrInvalid), err)
	}
	for _, known := range valueFaults {
		if errors.Is(err, known.err) {
			mapped := known.fault
			mapped.cause = err
			return &mapped
		}
	}
	return nil
}

// reason is what an error says behind the sentinel that it wraps.
func reason(err, sentinel error) string {
	_, why, found := strings.Cut(err.Error(), sentinel.Error()+": ")
	if !found {
		return ""
	}
	return why
}

// badKey is the fault of a key that nothing can be stored under.
func badKey(why string, cause error) *fault {
	if why != "" {
		why = ": " + why
	}
	return &fault{
		status: 400, code: "bad-key", message: "This is no key" + why + ".", cause: cause,
		hint: fmt.Sprintf("A key has 1 to %d bytes of UTF-8. It is the rest of the path, percent-encoded where URLs need it.", kv.MaxKey),
	}
}

// badValue is the fault of what cannot be stored. What stands behind a semicolon is the hint.
func badValue(text string, cause error) *fault {
	message, hint, found := strings.Cut(text, "; ")
	if !found {
		hint = fmt.Sprintf("a value has at most %d MiB, %d KiB of metadata, and %d tags of %d bytes", kv.MaxValue>>20, kv.MaxMetadata>>10, kv.MaxTags, kv.MaxTag)
	}
	if message != "" {
		message = ": " + message
	}
	return &fault{status: 400, code: "bad-value", message: "Nothing was stored" + message + ".", hint: sentence(hint), cause: cause}
}

func badRequest(message, hint string) *fault {
	return &fault{status: 400, code: "bad-request", message: message, hint: hint}
}

// cutShort is the fault of a body that did not come whole.
func cutShort(cause error) *fault {
	return &fault{
		status: 400, code: "bad-request", close: true, message: "The body ended early, or stalled; nothing was stored.",
		hint: "Send it again.", cause: cause,
	}
}
