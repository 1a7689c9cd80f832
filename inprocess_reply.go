package weir

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
)

// replyWriter makes a response of what a handler writes, as net/http's server does: a short
// body gets a length and a type if the handler gives none.
type replyWriter struct {
	request *http.Request
	to      *io.PipeWriter
	head    chan *http.Response

	header  http.Header
	status  int         // 0: not said yet
	said    http.Header // when the status was
	left    int64       // of the length that the handler has declared, -1: it has not
	begin   []byte      // of the body, while the head has not gone out
	gone    bool        // the head has
	trailer http.Header // valid when the body has ended
}

// sniffed is how much of a body is held back at first.
const sniffed = 2 << 10

func newReplyWriter(out *http.Request, to *io.PipeWriter) *replyWriter {
	return &replyWriter{request: out, to: to, header: make(http.Header), head: make(chan *http.Response, 1)}
}

// Header returns what the handler sets.
func (w *replyWriter) Header() http.Header { return w.header }

// WriteHeader says the status, or sends an interim response.
func (w *replyWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status >= 100 && status < 200 {
		trace := httptrace.ContextClientTrace(w.request.Context())
		if trace != nil && trace.Got1xxResponse != nil {
			_ = trace.Got1xxResponse(status, textproto.MIMEHeader(w.header.Clone()))
		}
		return
	}
	w.status, w.said, w.left = status, w.header.Clone(), -1
	if length := w.said.Get("Content-Length"); length != "" {
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil || n < 0 {
			w.said.Del("Content-Length")
			return
		}
		w.left = n
	}
}

// bodiless says whether no body goes with the head.
func (w *replyWriter) bodiless() bool {
	return w.request.Method == http.MethodHead || w.status == http.StatusNoContent || w.status == http.StatusNotModified
}

// Write writes some of the body.
func (w *replyWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.request.Method == http.MethodHead:
		return len(p), nil
	case w.bodiless():
		return 0, http.ErrBodyNotAllowed
	case w.left >= 0 && int64(len(p)) > w.left:
		return 0, http.ErrContentLength
	case w.left >= 0:
		w.left -= int64(len(p))
	}
	if !w.gone {
		if len(w.begin)+len(p) <= sniffed {
			w.begin = append(w.begin, p...)
			return len(p), nil
		}
		if len(w.begin) == 0 {
			w.begin = p[:min(len(p), 512)] // for its type
			w.sendHead(-1)
			return w.to.Write(p)
		}
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	return w.to.Write(p)
}

// Flush sends what is held back.
func (w *replyWriter) Flush() {
	w.WriteHeader(http.StatusOK)
	_ = w.flush() // the next Write says it
}

func (w *replyWriter) flush() error {
	if w.gone {
		return nil
	}
	w.sendHead(-1)
	if len(w.begin) == 0 {
		return nil
	}
	_, err := w.to.Write(w.begin)
	return err
}

// sendHead lets the head go. length is that of the body if the handler has not declared one,
// -1 if nobody knows.
func (w *replyWriter) sendHead(length int64) {
	w.gone = true
	h := w.said
	if declared := h.Get("Content-Length"); declared != "" {
		length, _ = strconv.ParseInt(declared, 10, 64) // which WriteHeader has checked
	}
	if _, given := h["Content-Type"]; !given && len(w.begin) > 0 && h.Get("Content-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(w.begin))
	}
	resp := &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status, Header: h,
		Proto: "HTTP/2.0", ProtoMajor: 2, // a body that breaks off can be told from one that ends
		ContentLength: length, Request: w.request,
	}
	for _, list := range h["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			if resp.Trailer == nil {
				resp.Trailer = make(http.Header)
			}
			resp.Trailer[http.CanonicalHeaderKey(strings.TrimSpace(name))] = nil
		}
	}
	w.head <- resp
}

// end is called when the handler has returned.
func (w *replyWriter) end() {
	w.WriteHeader(http.StatusOK)
	if !w.gone {
		length := int64(len(w.begin))
		if w.said.Get("Trailer") != "" || w.request.Method == http.MethodHead {
			length = -1
		}
		w.sendHead(length)
		if _, err := w.to.Write(w.begin); err != nil {
			return
		}
	}
	if w.left > 0 && !w.bodiless() {
		_ = w.to.CloseWithError(io.ErrUnexpectedEOF)
		return
	}
	w.trailer = w.trailers()
	_ = w.to.Close()
}

// trailers are what the handler set for after the body.
func (w *replyWriter) trailers() http.Header {
	t := make(http.Header)
	for name, values := range w.header {
		if after, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			t[http.CanonicalHeaderKey(after)] = values
		}
	}
	for _, list := range w.said["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if values := w.header[name]; values != nil {
				t[name] = values
			}
		}
	}
	return t
}

// replyBody is the body as it is read.
type replyBody struct {
	*io.PipeReader
	resp *http.Response
	w    *replyWriter
	end  func()
}

// Read reads on. At the end of the body the trailer is there.
func (b *replyBody) Read(p []byte) (int, error) {
	n, err := b.PipeReader.Read(p)
	if errors.Is(err, io.EOF) && b.w.trailer != nil {
		if b.resp.Trailer == nil {
			b.resp.Trailer = make(http.Header)
		}
		maps.Copy(b.resp.Trailer, b.w.trailer)
	}
	return n, err
}

// Close ends the reading. A handler that still writes is told.
func (b *replyBody) Close() error {
	b.end()
	return b.PipeReader.Close()
}
