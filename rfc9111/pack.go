package rfc9111

import (
	"encoding/binary"
	"net/http"
)

// PackHeader appends the fields of h to dst in few bytes, to be held in memory and for [UnpackHeader] of the
// same process: as in an encoded Response, but of common names only the number, and in any order.
func PackHeader(dst []byte, h http.Header) []byte {
	values := 0
	for _, v := range h {
		values += len(v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(h)))
	dst = binary.AppendUvarint(dst, uint64(values))
	for name, v := range h {
		dst = appendStrings(appendPackedName(dst, name), v)
	}
	return dst
}

// UnpackHeader returns the fields that PackHeader was given. All values are parts of packed.
func UnpackHeader(packed string) http.Header {
	d := decoder{s: packed}
	return d.header(d.packedName)
}

// commonNames are in most responses. A name's number follows a length of 0, which no other name has.
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

// commonByLength are the numbers of commonNames by their length.
var commonByLength = func() (numbers [32][]byte) {
	for i, name := range commonNames {
		numbers[len(name)] = append(numbers[len(name)], byte(i))
	}
	return numbers
}()

func appendPackedName(dst []byte, name string) []byte {
	if len(name) < len(commonByLength) {
		for _, i := range commonByLength[len(name)] {
			if commonNames[i] == name {
				return append(dst, 0, i)
			}
		}
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
