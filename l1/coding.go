package l1

import (
	"strings"

	"weir/rfc9111"
)

// A coding is a content coding that is spoken here.
type coding uint8

const (
	identity coding = iota
	brotliCoding
	gzipCoding
	zstdCoding
	codings           // how many there are
	foreign = codings // any other, and several at once
)

var codingNames = [codings]string{"", "br", "gzip", "zstd"}

// codingOf returns the coding of a name, as [rfc9111.ContentCodings] has it.
func codingOf(name string) coding {
	for c, known := range codingNames {
		if name == known {
			return coding(c)
		}
	}
	return foreign
}

// contentCoding returns the coding of a response.
func contentCoding(resp *rfc9111.Response) coding {
	if resp.Header["Content-Encoding"] == nil {
		return identity
	}
	switch names := rfc9111.ContentCodings(resp.Header); len(names) {
	case 0:
		return identity
	case 1:
		return codingOf(names[0])
	default:
		return foreign
	}
}

// A form is a body in another coding than the one that was stored, with the head that
// goes with it.
type form struct {
	whole bool // otherwise it is one of those below
	head  head
	body  []byte
	cost  int64
}

// What a form can be besides a body. None of them has a cost.
var (
	underWay   = &form{} // somebody is at it
	notWorthIt = &form{} // tried, and not smaller by enough
	noRoom     = &form{} // too much to be held beside the object
	tooLong    = &form{} // decoded, it is larger than an object may be
	damaged    = &form{} // it cannot be decoded
)

func newForm(c coding, body []byte, stored *rfc9111.Response) *form {
	f := &form{whole: true, body: body}
	f.head.pack("", rfc9111.Recoded(stored, codingNames[c], int64(len(body))))
	f.head.place.Store(nowhere)
	f.cost = formOverhead + allocated(int64(cap(body))) + f.head.cost(0)
	return f
}

// held says that f is about to be held.
func (f *form) held() *form {
	f.head.place.Store(nil)
	return f
}

// ready says whether f has a body.
func (f *form) ready() bool { return f != nil && f.whole }

const (
	minCodable    = 1 << 10
	maxCodedShare = 90 // of the plain body's size, in percent
)

// codable says whether plain content of length bytes, -1 if that is not known, may be coded
// for clients, and is likely to gain.
func codable(resp *rfc9111.Response, length int64) bool {
	return (length < 0 || length >= minCodable) && resp.Header["Content-Encoding"] == nil &&
		compressible(resp.Header.Get("Content-Type")) && rfc9111.Recodable(resp)
}

func compressible(mediaType string) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	if strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "+json") || strings.HasSuffix(mediaType, "+xml") {
		return true
	}
	switch mediaType {
	case "application/json", "application/javascript", "application/x-javascript", "application/xml",
		"application/x-ndjson", "application/wasm", "application/rtf", "application/graphql",
		"application/vnd.ms-fontobject", "application/x-font-ttf", "font/ttf", "font/otf", "font/sfnt",
		"image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	default:
		return false
	}
}
