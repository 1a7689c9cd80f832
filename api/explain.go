package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"weir/api/peer"
	"weir/l1"
	"weir/shield"
)

// ErrExplain means that a request cannot be explained: it says what of it is wrong.
var ErrExplain = errors.New("api: explain")

// A Question is a request that is to be explained.
type Question struct {
	URL    string   // absolute
	Method string   // "": GET
	Header []string // "name: value"
	Body   string   // content
	Fetch  bool     // ask the origin what it would answer
}

// Explainer explains what becomes of requests, by having them answered with the code that
// answers clients, in a rehearsal from which nothing comes.
type Explainer struct {
	door   *Door
	memory *l1.Tier // nil at a node without clients
	shield *shield.Shield
	parent *peer.Client // of an edge, whose shield has its say; nil at the shield itself
}

// NewExplainer explains what comes through door. memory and parent may be nil.
func NewExplainer(door *Door, memory *l1.Tier, below *shield.Shield, parent *peer.Client) *Explainer {
	return &Explainer{door, memory, below, parent}
}

// Explain answers q, or says with an [ErrExplain] what is wrong with it.
func (e *Explainer) Explain(ctx context.Context, q Question) (*Explanation, error) {
	r, err := q.request(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(usualMethods, r.Method) && !e.door.table().NamesMethod(r.Method) {
		return nil, fmt.Errorf("%w: no route names the method %.20q, and it is none of %s", ErrExplain, r.Method, strings.Join(usualMethods, ", "))
	}
	below := e.shield.Rehearse(q.Fetch)
	defer below.Close()
	var tier Tier = below
	if e.memory != nil {
		tier = e.memory.Rehearse(below)
	}
	var p probe
	head, record, err := e.door.rehearsal(tier).rehearse(r, &p)
	if err != nil {
		return nil, err
	}
	x := &Explanation{Request: AskedRequest{Method: r.Method, URL: q.URL, Headers: namesOf(r.Header)}}
	x.Now = expected(head, record, &p)
	x.Refused = refusalOf(&p)
	e.tellRoute(x, &p)
	e.tellStored(ctx, x, &p)
	tellFetched(x, below)
	x.Advice = advise(x)
	return x, nil
}

var usualMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "TRACE", "CONNECT"}

// Check says with an [ErrExplain] what is wrong with q, as far as that is plain without a policy.
func (q Question) Check() error {
	_, err := q.request(context.Background())
	return err
}

// WhatIsWrong is the text of an [ErrExplain], and what to do about it, in sentences.
func WhatIsWrong(err error) (message, hint string) {
	message, hint, _ = strings.Cut(strings.TrimPrefix(err.Error(), ErrExplain.Error()+": "), "; ")
	return sentence(strings.TrimSuffix(message, ".")), sentence(strings.TrimSuffix(hint, "."))
}

// request is the request as a server would receive it from a client on loopback.
func (q Question) request(ctx context.Context) (*http.Request, error) {
	scheme, _, ok := strings.Cut(q.URL, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("%w: the URL is not absolute; write http://HOST/PATH or https://HOST/PATH", ErrExplain)
	}
	t, bad := parseTarget(q.URL)
	if bad != nil {
		return nil, fmt.Errorf("%w: %s; percent-encode what a URL cannot have, and leave fragments out", ErrExplain, strings.TrimSuffix(bad.message, "."))
	}
	if strings.Contains(t.authority, "@") {
		return nil, fmt.Errorf("%w: the URL has a user; leave out what stands before the host", ErrExplain)
	}
	if q.Method == "" {
		q.Method = http.MethodGet
	}
	if !httpguts.ValidHeaderFieldName(q.Method) { // both are tokens, RFC 9110 9.1
		return nil, fmt.Errorf("%w: %.20q is no method", ErrExplain, q.Method)
	}
	r := &http.Request{
		Method: q.Method, Host: t.authority, RequestURI: t.form, Header: http.Header{},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:0",
		Body: io.NopCloser(strings.NewReader(q.Body)), ContentLength: int64(len(q.Body)),
	}
	if scheme == "https" {
		r.TLS = &tls.ConnectionState{}
	}
	for i, line := range q.Header {
		if err := addField(r, i+1, line); err != nil {
			return nil, err
		}
	}
	return r.WithContext(ctx), nil
}

// addField adds the header field in the n-th line. What a line says may be a secret, so
// that no error repeats it.
func addField(r *http.Request, n int, line string) error {
	name, value, ok := strings.Cut(line, ":")
	value = textproto.TrimString(value)
	switch {
	case !ok:
		return fmt.Errorf("%w: header %d has no colon; write 'name: value'", ErrExplain, n)
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%w: the name of header %d is no name; write 'name: value'", ErrExplain, n)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("%w: the value of header %d, %s, has a control byte", ErrExplain, n, name)
	}
	switch name = http.CanonicalHeaderKey(name); name {
	case "Host":
		r.Host = value
	case "Content-Length", "Transfer-Encoding", "Trailer":
		return fmt.Errorf("%w: %s is not for you to give; it follows from the content", ErrExplain, name)
	default:
		r.Header.Add(name, value)
	}
	return nil
}

// namesOf lists field names. Values may be secrets.
func namesOf(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
