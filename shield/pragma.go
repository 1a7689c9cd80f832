package shield

import (
	"bytes"
	"net/http"
	"sync/atomic"
)

// A controlWatch reads along with one response and notices a Cache-Control line.
//
// net/http adds Cache-Control: no-cache to a response that has Pragma: no-cache and none
// of its own. In a response Pragma means nothing, RFC 9111 5.4, and what the origin did
// not say is neither decided by nor passed on. The connection alone can tell the two.
//
// It errs on one side only: it never misses a line. When it cannot tell where the
// head ends, it reads on and may take a line of the body for one.
type controlWatch struct {
	found atomic.Bool

	over  bool // the head of the final response has passed
	final bool // this head has a status line of a final response
	first bool // a line of this head has passed
	line  [len(controlName)]byte
	n     int // bytes of the line so far, which may be more than fit
}

const controlName = "cache-control:"

// see takes the next bytes of the connection.
func (w *controlWatch) see(p []byte) {
	for len(p) > 0 && !w.over {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if w.n < len(w.line) {
			copy(w.line[w.n:], line)
		}
		w.n += len(line)
		if !ended {
			return
		}
		w.endLine()
		p = rest
	}
}

func (w *controlWatch) endLine() {
	line := w.line[:min(w.n, len(w.line))]
	switch {
	case !w.first:
		w.final = isFinal(line)
		w.first = true
	case w.n == 0, w.n == 1 && line[0] == '\r':
		w.over, w.first = w.final, false // or 1xx, and another head follows
	case bytes.EqualFold(line, []byte(controlName)):
		w.found.Store(true)
	}
	w.n = 0
}

// isFinal says whether a status line is, without doubt, that of a final response.
func isFinal(line []byte) bool {
	const version = "HTTP/1."
	return len(line) > 9 && string(line[:7]) == version && line[8] == ' ' && '2' <= line[9] && line[9] <= '9'
}

// correct removes a Cache-Control that was not in the response.
func (w *controlWatch) correct(h http.Header) {
	if w != nil && !w.found.Load() {
		delete(h, "Cache-Control")
	}
}
