package weir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
)

// inProcess is a way to an origin that is a handler of this process.
type inProcess struct {
	next    http.Handler
	report  func(error)
	running sync.WaitGroup // handlers
}

// RoundTrip has the handler answer, and returns when it has said its head. The body comes as
// fast as it is read, and when it is closed the handler's writes fail.
func (p *inProcess) RoundTrip(out *http.Request) (*http.Response, error) {
	in, err := received(out)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(out.Context())
	body, to := io.Pipe()
	w := newReplyWriter(out, to)
	failed := make(chan error, 1)
	p.running.Go(func() {
		defer cancel()
		defer func() { _ = in.Body.Close() }()
		if err := p.serve(w, in.WithContext(ctx)); err != nil {
			failed <- err
			_ = to.CloseWithError(err)
			return
		}
		w.end()
	})
	stop := context.AfterFunc(ctx, func() { // a reader that waits learns of it, and so does the handler
		if cause := context.Cause(out.Context()); cause != nil {
			_ = to.CloseWithError(cause)
		}
	})
	select {
	case resp := <-w.head:
		resp.Body = &replyBody{PipeReader: body, resp: resp, w: w, end: func() { stop(); cancel() }}
		return resp, nil
	case err = <-failed:
	case <-out.Context().Done():
		err = context.Cause(out.Context())
	}
	cancel()
	_ = body.CloseWithError(err)
	return nil, err
}

// errHandler means that the handler has ended without an answer.
var errHandler = errors.New("weir: the handler broke off")

// serve calls the handler. A panic becomes an error.
func (p *inProcess) serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		reason := recover()
		switch reason {
		case nil:
			return
		case http.ErrAbortHandler:
		default:
			p.report(fmt.Errorf("weir: the handler panicked at %s %s: %v\n%s", r.Method, r.URL.Path, reason, debug.Stack()))
		}
		err = errHandler
	}()
	p.next.ServeHTTP(w, r)
	return nil
}

// received is a request as a server gets it.
func received(out *http.Request) (*http.Request, error) {
	target := out.URL.RequestURI()
	at, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, fmt.Errorf("weir: the target: %w", err)
	}
	in := &http.Request{
		Method: out.Method, URL: at, RequestURI: target, Host: out.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: out.Header.Clone(), Trailer: out.Trailer,
		Body: out.Body, ContentLength: out.ContentLength,
		RemoteAddr: "127.0.0.1:0",
	}
	for name, values := range in.Header {
		if len(values) == 0 || name == "User-Agent" && values[0] == "" { // they are not sent
			delete(in.Header, name)
		}
	}
	if client := in.Header.Get("X-Forwarded-For"); net.ParseIP(client) != nil {
		in.RemoteAddr = net.JoinHostPort(client, "0")
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	return in, nil
}
