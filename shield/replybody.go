package shield

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// A replyBody is an origin's body with the idle timeout between two reads. Of a
// switched connection it is both directions, and without the timeout.
type replyBody struct {
	src      io.ReadCloser
	switched bool

	ctx    context.Context
	cancel context.CancelCauseFunc // nil: closing src is enough
	idle   time.Duration           // 0: any
	timer  *time.Timer             // for src that has no deadlines of its own

	closed atomic.Bool
	unhook func() bool // of the context's end, for a switched connection

	origin *origin // is given back to origins; nil: it is the parent
	owner  *origins
}

// arm hands the request's context over to its body.
func (b *replyBody) arm(ctx context.Context, cancel context.CancelCauseFunc, o *origin) {
	b.ctx, b.cancel = ctx, cancel
	if b.switched {
		// net/http no longer watches the context of a switched connection.
		b.unhook = context.AfterFunc(ctx, func() { _ = b.src.Close() })
		return
	}
	b.idle = o.idleTimeout()
	b.timer = time.AfterFunc(b.idle, func() { cancel(b.silent()) })
	b.timer.Stop()
}

// endless turns the idle timeout off: event streams are silent for as long as
// nothing happens, and end with their client.
func (b *replyBody) endless(contentType string) {
	if media, _, _ := strings.Cut(contentType, ";"); strings.EqualFold(strings.TrimSpace(media), "text/event-stream") {
		b.timer, b.idle = nil, 0
	}
}

func (b *replyBody) Read(p []byte) (int, error) {
	n, err := b.read(p)
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return n, err
	}
	if cause := context.Cause(b.ctx); cause != nil {
		return n, cause
	}
	switch {
	case b.closed.Load():
		return n, errBodyClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, b.silent()
	}
	return n, fmt.Errorf("%w: %w", ErrOriginTruncated, err)
}

func (b *replyBody) read(p []byte) (int, error) {
	switch body, ok := b.src.(*incoming); {
	case ok:
		body.allow(b.idle)
	case b.timer != nil:
		b.timer.Reset(b.idle)
		defer b.timer.Stop()
	}
	return b.src.Read(p)
}

func (b *replyBody) silent() error {
	return fmt.Errorf("%w: body silent for %s", ErrOriginTimeout, b.idle)
}

// Write sends on a switched connection.
func (b *replyBody) Write(p []byte) (int, error) {
	w, ok := b.src.(io.Writer)
	if !ok {
		return 0, fmt.Errorf("%w: connection is not writable", ErrOriginProtocol)
	}
	return w.Write(p)
}

// Close may be called while a Read is in progress, and ends it.
func (b *replyBody) Close() error {
	if b.unhook != nil {
		b.unhook()
	}
	again := b.closed.Swap(true)
	if b.cancel != nil {
		b.cancel(errBodyClosed)
	}
	err := b.src.Close()
	if !again && b.origin != nil {
		b.owner.done(b.origin)
	}
	return err
}
