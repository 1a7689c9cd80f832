package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// reply is the http.ResponseWriter of a request that the door answers directly. It writes what
// net/http would write, as far as the door makes use of it: fields in order, chunks where there is no
// Content-Length, no body where none may be. Nothing is sent before it has to be, so that
// a short answer leaves in one write.
type reply struct {
	conn   *guardConn
	cancel context.CancelFunc // of the request
	silent bool               // it is a HEAD

	header http.Header
	out    bytes.Buffer // what is not sent yet
	err    error        // of the first write that failed

	wrote  bool  // the head is in out, or was
	bodied bool  // a body follows it
	left   int64 // of the body, -1 for chunks
	closes bool  // the connection ends with it
}

var replies = sync.Pool{New: func() any { return &reply{header: make(http.Header, 24)} }}

// maxKeptReply is how large the buffer of a reply may be that waits for its next use.
const maxKeptReply = 2 * maxJoined

func (w *reply) free() {
	clear(w.header)
	out := w.out
	out.Reset()
	if out.Cap() > maxKeptReply {
		out = bytes.Buffer{}
	}
	*w = reply{header: w.header, out: out}
	replies.Put(w)
}

// Header returns the fields of the answer.
func (w *reply) Header() http.Header { return w.header }

// WriteHeader writes the head of the answer, or sends that of an interim response.
func (w *reply) WriteHeader(status int) {
	if w.wrote {
		return
	}
	w.line(status)
	if status < http.StatusOK {
		_ = w.header.WriteSubset(&w.out, framing) // a Buffer takes everything
		w.out.WriteString("\r\n")
		_ = w.FlushError() // the next write fails as well
		return
	}
	w.wrote, w.left = true, -1
	h, ending := w.header, w.conn.ending.Load()
	switch status {
	case http.StatusNotModified: // RFC 9110 15.4.5, 8.6
		delete(h, "Content-Type")
		delete(h, "Content-Length")
	case http.StatusNoContent:
		delete(h, "Content-Length")
	default:
		w.bodied = !w.silent
	}
	if length := h["Content-Length"]; len(length) > 0 {
		n, err := strconv.ParseInt(length[0], 10, 64)
		if w.left = n; err != nil || n < 0 {
			delete(h, "Content-Length")
			w.left = -1
		}
	}
	w.closes = ending || h.Get("Connection") == "close"
	if ending {
		delete(h, "Connection")
	}
	_ = h.Write(&w.out) // a Buffer takes everything
	if _, ok := h["Date"]; !ok {
		w.out.WriteString("Date: ")
		w.out.WriteString(time.Now().UTC().Format(http.TimeFormat))
		w.out.WriteString("\r\n")
	}
	if ending {
		w.out.WriteString("Connection: close\r\n")
	}
	if w.bodied && w.left < 0 {
		w.out.WriteString("Transfer-Encoding: chunked\r\n")
	}
	w.out.WriteString("\r\n")
}

// framing are fields that no interim response has, RFC 9110 8.6, 9112 6.1.
var framing = map[string]bool{"Content-Length": true, "Transfer-Encoding": true}

func (w *reply) line(status int) {
	w.out.WriteString("HTTP/1.1 ")
	w.out.Write(strconv.AppendInt(w.out.AvailableBuffer(), int64(status), 10))
	w.out.WriteByte(' ')
	if text := http.StatusText(status); text != "" {
		w.out.WriteString(text)
	} else {
		w.out.WriteString("status code ")
		w.out.Write(strconv.AppendInt(w.out.AvailableBuffer(), int64(status), 10))
	}
	w.out.WriteString("\r\n")
}

// Write adds p to the body.
func (w *reply) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case !w.bodied:
		return 0, http.ErrBodyNotAllowed
	case len(p) == 0: // as a chunk it would be the last
		return 0, nil
	case w.left < 0:
		w.out.Write(strconv.AppendInt(w.out.AvailableBuffer(), int64(len(p)), 16))
		w.out.WriteString("\r\n")
		n, err := w.add(p)
		w.out.WriteString("\r\n")
		return n, err
	case int64(len(p)) > w.left:
		return 0, http.ErrContentLength
	}
	n, err := w.add(p)
	w.left -= int64(n)
	return n, err
}

// add buffers p if it is short, and sends it otherwise.
func (w *reply) add(p []byte) (int, error) {
	if w.out.Len()+len(p) <= maxJoined {
		return w.out.Write(p)
	}
	if err := w.FlushError(); err != nil {
		return 0, err
	}
	return w.send(p)
}

// FlushError sends what there is: http.ResponseController.
func (w *reply) FlushError() error {
	if w.out.Len() > 0 && w.err == nil {
		_, _ = w.send(w.out.Bytes())
	}
	w.out.Reset()
	return w.err
}

func (w *reply) send(p []byte) (int, error) {
	n, err := w.conn.Conn.Write(p)
	if err != nil {
		w.err = err
		w.cancel() // whoever does not take the answer has left
	}
	return n, err
}

// SetWriteDeadline is for the next writes: http.ResponseController. A deadline costs a timer, so one is
// kept from answer to answer while most of it is left.
func (w *reply) SetWriteDeadline(t time.Time) error {
	allowed := w.conn.opts.Hits.door.opts.WriteTimeout
	return w.conn.extendWrite(t.Add(-allowed), allowed)
}

// finish ends the answer. It returns an error if the connection has to end, too.
func (w *reply) finish() error {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if w.bodied && w.left < 0 {
		w.out.WriteString("0\r\n\r\n")
	}
	err := w.FlushError()
	if err != nil || w.closes || w.bodied && w.left > 0 {
		return io.EOF // nothing that net/http would answer to
	}
	return nil
}
