package api

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"time"
)

// caller is what the requests have in common that the door answers on one connection.
type caller struct {
	request *http.Request      // without what a head says; nil: not made yet
	leave   context.CancelFunc // ends its context
	address string             // of the client, without port
	codings codingMemo
}

// newCaller makes what net/http would make of every plain request.
func (c *guardConn) newCaller() caller {
	ctx, leave := context.WithCancel(context.Background())
	address := c.RemoteAddr().String()
	r := (&http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, RemoteAddr: address,
	}).WithContext(ctx)
	if inner, ok := c.Conn.(*tls.Conn); ok {
		state := inner.ConnectionState()
		r.TLS = &state
	}
	return caller{request: r, leave: leave, address: withoutPort(address)}
}

// visit is all that one request needs which the door answers directly.
type visit struct {
	exchange
	request http.Request
}

// serveDirectly has the door answer the plain request whose head is buf and came now. more says that bytes of the
// next request are there already.
func (c *guardConn) serveDirectly(h *head, buf []byte, now time.Time, more bool) (err error) {
	w := replies.Get().(*reply)
	defer w.free()
	w.conn, w.silent = c, len(h.method) == len(http.MethodHead)
	x := c.visit(h, string(buf))
	defer func() { c.part(err == nil && x.brief) }()
	x.w, x.rc, x.record.Began = w, *http.NewResponseController(w), now
	if err = c.runDoor(x, more); err != nil {
		_ = c.close() // what is missing of the answer must be seen to be missing
		return err
	}
	return w.finish()
}

// visit returns the exchange of a plain head. Its request is what net/http would make of it, except for
// URL, which the door does not look at.
func (c *guardConn) visit(h *head, said string) *exchange {
	if c.caller.request == nil {
		c.caller = c.newCaller()
	}
	v := &visit{request: *c.caller.request}
	x, r := &v.exchange, &v.request
	x.door, x.r, x.plain, x.record.Client = c.opts.Hits.door, r, true, c.caller.address
	r.Method = http.MethodGet
	if len(h.method) == len(http.MethodHead) {
		r.Method = http.MethodHead
	}
	c.caller.codings.read(h.glance.encoding)
	x.accepts = &c.caller.codings.accepts
	target := len(h.method) + len(" ")
	r.RequestURI = said[target : target+len(h.target)]
	r.Host, r.Header, x.usual = fieldsOf(said, h.fields)
	return x
}

// runDoor returns an error if the answer must not be taken for a whole one.
func (c *guardConn) runDoor(x *exchange, more bool) (err error) {
	if !more { // or a client that left could not be told from one that sends on
		waits := &c.opts.Hits.waits
		waits.begin(c)
		defer waits.end(c)
	}
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = io.EOF // nothing that net/http would answer to
		default:
			panic(p)
		}
	}()
	x.door.serve(x)
	return nil
}

// part ends the context of a request, unless all went well and the answer was whole when it came: then nobody has
// to do with the request any more, and the next one may have the same. A client that left asks for nothing more.
func (c *guardConn) part(whole bool) {
	if !whole {
		c.caller.leave()
		c.caller = caller{}
	}
}

// fieldsOf returns what a head of n field lines says that has passed, as net/http would, and whether
// all of it is usual.
func fieldsOf(head string, n int) (host string, h http.Header, allUsual bool) {
	h, values := make(http.Header, n-1), make([]string, 0, n-1) // Host is not among them
	allUsual = true
	rest := head[strings.IndexByte(head, '\n')+1:]
	for range n {
		end, colon := strings.IndexByte(rest, '\n'), strings.IndexByte(rest, ':')
		name, value := rest[:colon], trimSpace(rest[colon+1:end-1])
		rest = rest[end+1:]
		if !usual(name) {
			if name = http.CanonicalHeaderKey(name); name == "Host" {
				host = value
				continue
			}
			allUsual = allUsual && usual(name)
		}
		if others, ok := h[name]; ok {
			h[name] = append(others, value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return host, h, allUsual
}

// usual says whether name is the canonical one of a field that goes on to the tiers from every client that
// sends it, if its route says nothing else; and of Connection, which says nothing in a plain head.
func usual(name string) bool {
	switch name {
	case "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Connection", "Cookie", "Dnt", "From",
		"If-Modified-Since", "If-None-Match", "Origin", "Priority", "Purpose", "Referer",
		"Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
		"Sec-Fetch-User", "Sec-Gpc", "Sec-Purpose", "Traceparent", "Tracestate", "Upgrade-Insecure-Requests",
		"User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id",
		"X-Requested-With":
		return true
	}
	return false
}
