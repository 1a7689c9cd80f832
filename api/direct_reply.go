package api

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/rfc9111"
)

// reply is the http.ResponseWriter of a request that the door answers directly. It writes what
// net/http would write, as far as the door makes use of it: fields in order, chunks where there is no
// Content-Length, no body where none may be. Nothing is sent before it has to be, so that
// a short answer leaves in one write.
type reply struct {
	conn   *guardConn
	silent bool // the request is a HEAD

	header http.Header
	out    []byte // what is not sent yet
	err    error  // of the first write that failed

	wrote  bool  // the head is in out, or was
	bodied bool  // a body follows it
	left   int64 // of the body, -1 for chunks
	closes bool  // the connection ends with it
}

// replyField is all lines of one name.
type replyField struct {
	name   string
	values []string
}

var replies = sync.Pool{New: func() any { return &reply{header: make(http.Header, 24)} }}

// maxKeptReply is how large the buffer of a reply may be that waits for its next use, and
// maxKeptFields how many fields its head may have had.
const (
	maxKeptReply  = 2 * maxJoined
	maxKeptFields = 128
)

func (w *reply) free() {
	if cap(w.out) > maxKeptReply || len(w.header) > maxKeptFields {
		return
	}
	clear(w.header)
	*w = reply{header: w.header, out: w.out[:0]}
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
		w.fields(framing)
		w.out = append(w.out, "\r\n"...)
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
	connection := h["Connection"]
	w.closes = ending || len(connection) > 0 && connection[0] == "close"
	if ending {
		delete(h, "Connection")
	}
	w.fields(nil)
	if _, ok := h["Date"]; !ok {
		w.out = append(w.out, "Date: "...)
		w.out = time.Now().UTC().AppendFormat(w.out, http.TimeFormat)
		w.out = append(w.out, "\r\n"...)
	}
	if ending {
		w.out = append(w.out, "Connection: close\r\n"...)
	}
	if w.bodied && w.left < 0 {
		w.out = append(w.out, "Transfer-Encoding: chunked\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
}

func (w *reply) line(status int) {
	w.out = append(w.out, "HTTP/1.1 "...)
	w.out = append(strconv.AppendInt(w.out, int64(status), 10), ' ')
	if text := http.StatusText(status); text != "" {
		w.out = append(w.out, text...)
	} else {
		w.out = append(w.out, "status code "...)
		w.out = strconv.AppendInt(w.out, int64(status), 10)
	}
	w.out = append(w.out, "\r\n"...)
}

// fewFields is how many fields are written without help. Nearly all heads have less.
const fewFields = 24

// framing are fields that no interim response has, RFC 9110 8.6, 9112 6.1.
var framing = map[string]bool{"Content-Length": true, "Transfer-Encoding": true}

// fields writes the field lines but for those in exclude, as http.Header.WriteSubset does: by name, without what is
// no name, and each on one line whatever is in its value.
func (w *reply) fields(exclude map[string]bool) {
	if len(w.header) > fewFields {
		b := bytes.NewBuffer(w.out)
		_ = w.header.WriteSubset(b, exclude) // a Buffer takes everything
		w.out = b.Bytes()
		return
	}
	var sorted [fewFields]replyField // by insertion, and on the stack, where pointers are moved at no cost
	n := 0
	for name, values := range w.header {
		if !rfc9111.IsToken(name) || exclude[name] {
			continue
		}
		at := n
		for ; at > 0 && before(name, sorted[at-1].name); at-- {
			sorted[at] = sorted[at-1]
		}
		sorted[at] = replyField{name, values}
		n++
	}
	for i := range n {
		for _, value := range sorted[i].values {
			w.out = append(append(w.out, sorted[i].name...), ": "...)
			w.out = append(appendValue(w.out, value), "\r\n"...)
		}
	}
}

// before compares names, most of which differ in the first byte.
func before(a, b string) bool { return a[0] < b[0] || a[0] == b[0] && a < b }

// appendValue appends a field value without the space around it, and with a space for what would
// end its line.
func appendValue(b []byte, value string) []byte {
	from := len(b)
	b = append(b, textproto.TrimString(value)...)
	if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 {
		for i, c := range b[from:] {
			if c == '\n' || c == '\r' {
				b[from+i] = ' '
			}
		}
	}
	return b
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
		w.out = append(strconv.AppendInt(w.out, int64(len(p)), 16), "\r\n"...)
		n, err := w.add(p)
		w.out = append(w.out, "\r\n"...)
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
	if len(w.out)+len(p) <= maxJoined {
		w.out = append(w.out, p...)
		return len(p), nil
	}
	if err := w.FlushError(); err != nil {
		return 0, err
	}
	return w.send(p)
}

// FlushError sends what there is: http.ResponseController.
func (w *reply) FlushError() error {
	if len(w.out) > 0 && w.err == nil {
		_, _ = w.send(w.out)
	}
	w.out = w.out[:0]
	return w.err
}

// send gives the client its time for p, as the door does for other writers.
func (w *reply) send(p []byte) (int, error) {
	err := w.conn.extendWrite(time.Now(), w.conn.opts.Hits.door.opts.WriteTimeout)
	n := 0
	if err == nil {
		n, err = w.conn.Conn.Write(p)
	}
	if err != nil {
		w.err = err
		w.conn.caller.leave() // whoever does not take the answer has left
	}
	return n, err
}

// finish ends the answer. It returns an error if the connection has to end, too.
func (w *reply) finish() error {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if w.bodied && w.left < 0 {
		w.out = append(w.out, "0\r\n\r\n"...)
	}
	err := w.FlushError()
	if err != nil || w.closes || w.bodied && w.left > 0 {
		return io.EOF // nothing that net/http would answer to
	}
	return nil
}
