package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"weir/api/peer"
	"weir/l1"
	"weir/shield"
)

// fault is an error as a user meets it. All errors become one, here and nowhere
// else.
type fault struct {
	status  int
	code    string // stable, for programs
	message string // what went wrong, a sentence
	hint    string // what to do about it, "" when there is nothing to say
	retry   int    // Retry-After in seconds, 0 leaves it out
	close   bool   // the connection cannot be trusted or used any further
	cause   error  // for the log, never for the user

	contentRange string // of a 416
}

func (f *fault) Error() string {
	if f.cause != nil {
		return f.code + ": " + f.cause.Error()
	}
	return f.code + ": " + f.message
}

func (f *fault) Unwrap() error { return f.cause }

// refuse is the fault of a request that is not served. Its connection ends with
// it: whoever disagrees about one request may disagree about where the next begins.
func refuse(status int, code, message string) *fault {
	return &fault{status: status, code: code, message: message, close: true}
}

// clientGone is the status that the log shows for a client that left before its
// answer. It is never sent.
const clientGone = 499

// tierFaults are the errors of tiers, as they are met before a response head.
var tierFaults = []struct {
	err   error
	fault fault
}{
	{shield.ErrOnlyIfCached, fault{
		status: 504, code: "not-cached", message: "Nothing stored may answer this request.",
		hint: "The request has Cache-Control: only-if-cached, which forbids asking the origin.",
	}},
	{shield.ErrUnsafe, fault{
		status: 400, code: "unsafe", message: "The request may change things at the origin, so it is not sent to explain it.",
		hint: "Leave fetch out, or explain a GET.",
	}},
	{shield.ErrNotHere, fault{
		status: 409, code: "edge", message: "This node has a shield, and asks no origin to explain anything.",
		hint: "Ask the admin listener of the shield, or leave fetch out.",
	}},
	{shield.ErrOverloaded, fault{
		status: 503, code: "overloaded", message: "Too many requests are in progress.",
		hint: "Ask again after the time in Retry-After.", retry: 1,
	}},
	{l1.ErrBusy, fault{
		status: 503, code: "overloaded", message: "Too many responses are being decoded.",
		hint: "Ask again after the time in Retry-After, or accept the content coding that the origin uses.", retry: 1,
	}},
	{l1.ErrCoding, fault{
		status: 502, code: "origin-coding", message: "The origin's content is not in the coding that it says, or expands beyond all measure.",
		hint: "A client that accepts the coding gets it as it is.",
	}},
	{shield.ErrClosed, closing},
	{shield.ErrParent, fault{
		status: 503, code: "shield-unreachable", message: "The shield of this region cannot be reached.",
		hint: "The policy says that origins are not asked without it: shield.fallback.", retry: 1,
	}},
	{peer.ErrLoop, fault{
		status: 508, code: "loop", message: "A node that has a shield was asked as a shield.",
		hint: "Let every --shield name the one shield of all regions.",
	}},
	{shield.ErrTarget, fault{
		status: 400, code: "bad-target", message: "The request target cannot be forwarded as it is.", close: true,
	}},
	{shield.ErrNoOrigin, fault{
		status: 502, code: "no-origin", message: "The policy names an origin that does not exist.",
		hint: "Run weir policy check.",
	}},
	{shield.ErrOriginTimeout, fault{
		status: 504, code: "origin-timeout", message: "The origin did not answer in time.",
		hint: "Its timeouts are in the policy, under origins.",
	}},
	{shield.ErrOriginProtocol, fault{
		status: 502, code: "origin-protocol", message: "The origin's answer does not follow HTTP.",
		hint: "The log of this node says where.",
	}},
	{shield.ErrOriginTruncated, fault{
		status: 502, code: "origin-truncated", message: "The origin's answer ended before its end.",
	}},
	{shield.ErrOriginUnreachable, fault{
		status: 502, code: "origin-unreachable", message: "The origin cannot be reached.",
		hint: "Check that it runs and that its url in the policy is right.",
	}},
}

// closing is the fault of a node that drains.
var closing = fault{
	status: 503, code: "closing", message: "This node is shutting down.",
	hint: "Ask again; another node may answer.", retry: 1, close: true,
}

// faultOf is the error map. The order matters: the first that matches wins.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	var said *peer.Refusal
	if errors.As(err, &said) {
		return &fault{status: said.Status, code: said.Code, message: said.Message, hint: said.Hint, cause: err}
	}
	for _, known := range tierFaults {
		if errors.Is(err, known.err) {
			mapped := known.fault
			mapped.cause = err
			return &mapped
		}
	}
	if f := valueFault(err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &fault{status: clientGone, code: "client-gone", message: "The client left.", cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &fault{status: 504, code: "timeout", message: "The request took too long.", cause: err}
	}
	return &fault{
		status: 500, code: "internal", message: "Something went wrong inside the cache.",
		hint: "The log of this node has the details.", cause: err,
	}
}

// panicFault is the fault of a bug.
func panicFault(p any) *fault {
	return faultOf(fmt.Errorf("panic: %v", p))
}

// fields sets what the head of f's response needs besides the status headers, and
// returns its body.
func (f *fault) fields(h http.Header) []byte {
	body := f.json()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if f.contentRange != "" {
		h.Set("Content-Range", f.contentRange)
	}
	if f.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(f.retry))
	}
	if f.close {
		h.Set("Connection", "close")
	}
	return body
}

func (f *fault) json() []byte {
	type inner struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
	}
	body, err := json.Marshal(struct {
		Error inner `json:"error"`
	}{inner{f.code, f.message, f.hint}})
	if err != nil { // strings always marshal
		return []byte("{}\n")
	}
	return append(body, '\n')
}
