package keying

import (
	"errors"
	"net/http"
	"slices"
)

// MaxBody is the largest request body, in bytes, that can be part of a key.
const MaxBody = 8000

var (
	// ErrBodyTooBig is Build's error for a keyed body of more than MaxBody bytes.
	ErrBodyTooBig = errors.New("keying: request body too big to be part of a key")
	// ErrTarget is Build's error for a target that does not begin with "/".
	ErrTarget = errors.New("keying: target is not in origin-form")
)

// QueryMode says which query parameters are part of the key and are forwarded.
type QueryMode int

const (
	QueryAll    QueryMode = iota // the whole query, byte for byte
	QueryOnly                    // the parameters in Names
	QueryExcept                  // all but the parameters in Names
	QueryNone                    // no query at all
)

// Spec is a compiled key spec. The zero value builds the default key: scheme,
// host, target with query, normalised Accept-Encoding, split-test destination and,
// for methods other than GET and HEAD, method, body and the body's Content-Type
// and Content-Encoding, without which it has no meaning (RFC 10008 says so for QUERY).
type Spec struct {
	Query   QueryMode
	Names   []string // parameter names for QueryOnly and QueryExcept, not percent-encoded
	Sort    bool     // parameters sorted by name, values of one name kept in order
	Cookies []Cookie
	Headers []string // canonical field names
	Device  bool
	Browser bool

	// Recoded says that clients get responses in whatever coding they accept, so that
	// all of them share a key, and origins are asked for AllCodings.
	Recoded bool

	// Conditions name what a request must have for this spec to be used, besides its
	// method, host and path; "" for nothing. Requests for the same URL that do not
	// have it may be answered by another origin and stored by other rules.
	Conditions string

	// Deployment gives each deployment of an application responses of its own; "" for all.
	Deployment string

	// BaseIsPath leaves the query out of [Key.Base]. It is for specs whose treatment
	// of the query depends on more than the URL: what invalidates one query of a
	// path has to invalidate them all.
	BaseIsPath bool
}

// Cookie adds a cookie's value to the key. With partitions it adds the name of
// the first partition that lists the value instead, or that none does.
//
// Names and values are compared raw, whitespace around them aside. Of a cookie
// that was sent more than once all values are in the key, joined with ";": origins
// differ in whether the first or the last one counts.
type Cookie struct {
	Name       string
	Partitions []Partition
}

// Partition is a set of cookie values that share one cached response.
type Partition struct {
	Name   string
	Values []string
}

// bodyFields say what the bytes of a body mean.
var bodyFields = [...]string{"Content-Type", "Content-Encoding"}

// scratchSize lets the bytes of a usual key be put together on the stack.
const scratchSize = 768

// Build makes the key of r, and what is to be forwarded for it. GET and HEAD
// share keys.
func (s *Spec) Build(r *Request) (Keyed, error) { return s.BuildAccepting(r, Accept(r.Header)) }

// BuildAccepting is Build for who has read Accept-Encoding already.
func (s *Spec) BuildAccepting(r *Request, accepts Accepts) (Keyed, error) {
	if r.Target == "" || r.Target[0] != '/' {
		return Keyed{}, ErrTarget
	}
	var few [32]string
	target := cutTarget(few[:0], s, r.Search, r.Target)
	keyed := Keyed{Accepts: accepts, AcceptEncoding: AllCodings}
	if !s.Recoded {
		keyed.AcceptEncoding = keyed.Accepts.String()
	}

	size := target.size
	if s.BaseIsPath {
		size = len(target.path)
	}
	var scratch [scratchSize]byte
	b := appendHead(scratch[:0], r.Scheme, r.Host, size)
	at := len(b)
	b = target.append(b)
	if string(b[at:]) != r.Target {
		keyed.QueryChanged = true
		keyed.OriginalQuery = r.Target[len(target.path)+1:]
	}
	query := ""
	if s.BaseIsPath {
		query, b = string(b[at+size:]), b[:at+size]
	}
	base := len(b)

	b = appendText(b, kindAcceptEncoding, keyed.AcceptEncoding)
	b = appendText(b, kindDestination, r.Destination)
	if keysBody(r.Method) {
		if len(r.Body) > MaxBody {
			return Keyed{}, ErrBodyTooBig
		}
		b = slices.Grow(b, len(r.Body)+scratchSize)
		b = appendText(b, kindMethod, r.Method)
		b = appendText(b, kindBody, r.Body)
	}
	b = s.appendChoices(b, r, &keyed)
	if query != "" {
		b = appendText(b, kindQuery, query)
	}

	raw := string(b)
	keyed.Key = Key{raw: raw, digest: sum(b), base: base}
	keyed.Target = raw[at:base] + query
	return keyed, nil
}

// appendChoices appends what the spec adds to the default key.
func (s *Spec) appendChoices(b []byte, r *Request, keyed *Keyed) []byte {
	for i := range s.Cookies {
		b = appendCookie(b, &s.Cookies[i], r.Header)
	}
	if keysBody(r.Method) {
		for _, name := range bodyFields {
			b = appendField(b, name, r.Header)
		}
	}
	for _, name := range s.Headers {
		b = appendField(b, name, r.Header)
	}
	if s.Device {
		keyed.Device = Device(r.Header)
		b = appendText(b, kindDevice, keyed.Device)
	}
	if s.Browser {
		keyed.Browser = Browser(r.Header)
		b = appendText(b, kindBrowser, keyed.Browser)
	}
	if s.Conditions != "" {
		b = appendText(b, kindConditions, s.Conditions)
	}
	if s.Deployment != "" {
		b = appendText(b, kindDeployment, s.Deployment)
	}
	return b
}

// keysBody says whether method and body are part of a request's key.
func keysBody(method string) bool { return method != http.MethodGet && method != http.MethodHead }
