package rfc9111

import (
	"net/http"
	"slices"
)

// PackHeader returns the fields of h in few bytes, to be held in memory and for [UnpackHeader] of the
// same process: as in an encoded Response, but of common names only the number.
func PackHeader(h http.Header) string {
	var room [1 << 10]byte
	return string(appendHeader(room[:0], h, true))
}

// UnpackHeader returns the fields that PackHeader was given. All values are parts of packed.
func UnpackHeader(packed string) http.Header {
	d := decoder{s: packed}
	return d.header(d.packedName)
}

// commonNames are in most responses, in order. A name's number follows a length of 0, which no other name has.
var commonNames = [...]string{
	"",
	"Accept-Ranges",
	"Access-Control-Allow-Origin",
	"Alt-Svc",
	"Cache-Control",
	"Cdn-Cache-Control",
	"Connection",
	"Content-Disposition",
	"Content-Encoding",
	"Content-Language",
	"Content-Length",
	"Content-Security-Policy",
	"Content-Type",
	"Cross-Origin-Opener-Policy",
	"Cross-Origin-Resource-Policy",
	"Date",
	"Etag",
	"Expires",
	"Last-Modified",
	"Link",
	"Location",
	"Permissions-Policy",
	"Pragma",
	"Referrer-Policy",
	"Server",
	"Server-Timing",
	"Set-Cookie",
	"Strict-Transport-Security",
	"Surrogate-Control",
	"Surrogate-Key",
	"Timing-Allow-Origin",
	"Vary",
	"Via",
	"X-Cache",
	"X-Content-Type-Options",
	"X-Frame-Options",
	"X-Powered-By",
	"X-Request-Id",
	"X-Xss-Protection",
}

func appendPackedName(dst []byte, name string) []byte {
	if i, ok := slices.BinarySearch(commonNames[:], name); ok {
		return append(dst, 0, byte(i))
	}
	return appendString(dst, name)
}

func (d *decoder) packedName() string {
	if name := d.string(); name != "" {
		return name
	}
	i := int(d.byte())
	if i >= len(commonNames) {
		d.fail()
		return ""
	}
	return commonNames[i]
}
