package shield

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"weir/rfc9111"
)

// A reply is an origin's answer, checked. Its body reports a silent origin and
// must be closed.
type reply struct {
	head    *rfc9111.Response
	body    *replyBody
	own     replyBody // what body is, of an origin
	upgrade string    // protocol of a 101
	framed  bool      // the end of the body can be told from a lost connection
	trailer *rfc9111.Trailer
}

// check refuses what an origin must not answer, and makes the head of the rest.
func check(resp *http.Response, out *outgoing, asked, answered time.Time) (*reply, error) {
	if err := checkStatus(resp, out); err != nil {
		return nil, err
	}
	for name := range resp.Header {
		if !rfc9111.IsToken(name) {
			return nil, fmt.Errorf("%w: field name %.100q", ErrOriginProtocol, name)
		}
	}
	h := resp.Header // nobody else has it
	if !rfc9111.IsEndToEnd(h) {
		h = rfc9111.EndToEnd(h)
	}
	head := &rfc9111.Response{
		Status:       resp.StatusCode,
		Header:       h,
		RequestTime:  asked,
		ResponseTime: answered,
		Length:       resp.ContentLength,
	}
	if out.method != http.MethodHead {
		h.Del("Content-Length") // Length says it
	}
	if h.Get("Date") == "" {
		h.Set("Date", answered.UTC().Format(http.TimeFormat)) // RFC 9110 6.6.1
	}
	if resp.Body == http.NoBody && out.method != http.MethodHead {
		head.Length = 0
	}
	// Without a length, without chunks and before HTTP/2 a body ends with its
	// connection, RFC 9112 6.3: a lost connection looks the same.
	framed := head.Length >= 0 || len(resp.TransferEncoding) > 0 || resp.ProtoMajor >= 2
	rep := &reply{head: head, upgrade: resp.Header.Get("Upgrade"), framed: framed}
	if framed && head.Length < 0 {
		rep.trailer = &rfc9111.Trailer{
			Names:  rfc9111.TrailerNames(resp.Trailer),
			Fields: func() http.Header { return rfc9111.TrailerFields(resp.Trailer) },
		}
	}
	return rep, nil
}

func checkStatus(resp *http.Response, out *outgoing) error {
	refuse := func(why string) error {
		return fmt.Errorf("%w: status %d %s", ErrOriginProtocol, resp.StatusCode, why)
	}
	switch s := resp.StatusCode; {
	case s == http.StatusSwitchingProtocols:
		switch {
		case out.upgrade == "":
			return refuse("was not asked for")
		case !listed(out.upgrade, resp.Header.Get("Upgrade")):
			return refuse("to another protocol than asked for")
		}
	case s < 200 || s > 599:
		return refuse("is not a final status")
	case s == http.StatusPartialContent && !out.ranged:
		return refuse("was not asked for")
	case s == http.StatusNotModified && !out.conditional:
		return refuse("was not asked for")
	}
	return nil
}

// listed says whether one of the protocols in a comma-separated list is p.
func listed(list, p string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(one), p) {
			return p != ""
		}
	}
	return false
}
