package keying

import "net/http"

// MaxBody is the largest request body, in bytes, that can be part of a key.
const MaxBody = 8000

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
// for methods other than GET and HEAD, method and body.
type Spec struct {
	Query   QueryMode
	Names   []string // parameter names for QueryOnly and QueryExcept
	Sort    bool     // parameters sorted by name, values of one name kept in order
	Cookies []Cookie
	Headers []string // canonical field names
	Device  bool
	Browser bool
}

// Cookie adds a cookie's value to the key. With partitions it adds the name of
// the first partition that lists the value instead, or "" for none of them.
type Cookie struct {
	Name       string
	Partitions []Partition
}

// Partition is a set of cookie values that share one cached response.
type Partition struct {
	Name   string
	Values []string
}

// Part is one decoded part of a key.
type Part struct {
	Kind  string // "scheme", "host", "target", "accept-encoding", "destination", "method", "body", "cookie", "header", "device", "browser"
	Name  string // of the cookie or header
	Value string
}

// Build makes the key of r, and what is to be forwarded for it.
func (s *Spec) Build(r *Request) (Keyed, error) { panic("unwritten") }

// Parse recovers a key from its canonical bytes.
func Parse(raw string) (Key, error) { panic("unwritten") }

// Parts decodes the key for people.
func (k Key) Parts() []Part { panic("unwritten") }

// Device returns the device class of a request: smartphone, tablet, mobile or desktop.
func Device(h http.Header) string { panic("unwritten") }

// Browser returns the browser family of a request.
func Browser(h http.Header) string { panic("unwritten") }

// AcceptEncoding returns the codings among br, gzip and zstd that a request
// accepts, in that order and comma-separated, "" for none.
func AcceptEncoding(h http.Header) string { panic("unwritten") }
