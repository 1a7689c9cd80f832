package api

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// What the Guard refuses, and with what. These are shared and never edited.
var (
	refuseLineEnd     = refusal(400, "bad-line-end", "A line of the request does not end with CRLF.", "End every line with CR LF, and put neither anywhere else.")
	refuseRequestLine = refusal(400, "bad-request-line", "The request line is not METHOD SP TARGET SP HTTP/1.1.", "A client that speaks TLS or HTTP/2 here must not.")
	refuseTarget      = refusal(400, "bad-target", "The request target has a form or a byte that is not taken.", "Percent-encode control bytes, spaces, # and \\; %00 is never taken.")
	refuseAuthority   = refusal(400, "bad-authority", "The absolute request target does not agree with Host or with the connection.", "RFC 9112 3.2.2: send the same host in both.")
	refuseHost        = refusal(400, "bad-host", "Host is missing, repeated, or not a name or an address with an optional port.", "Send exactly one Host field.")
	refuseFieldName   = refusal(400, "bad-field-name", "A field line does not begin with a name and a colon.", "Leave no space before the colon and fold no lines.")
	refuseFieldValue  = refusal(400, "bad-field-value", "A field value has a control byte.", "Send visible bytes, spaces and tabs only.")
	refuseLength      = refusal(400, "bad-content-length", "Content-Length is repeated or not a plain decimal number.", "Send one Content-Length of digits, without leading zeros.")
	refuseFraming     = refusal(400, "bad-framing", "The body is framed in two ways, or in one that its version does not have.", "RFC 9112 6.1: send either Content-Length or, in HTTP/1.1, Transfer-Encoding.")
	refuseChunk       = refusal(400, "bad-chunk", "The chunked request body is malformed.", "RFC 9112 7.1.")
	refuseLongTarget  = refusal(414, "target-too-long", "The request line is longer than this server takes.", "")
	refuseExpect      = refusal(417, "bad-expect", "Expect asks for something other than 100-continue.", "Leave Expect out.")
	refuseLongHead    = refusal(431, "head-too-long", "The request head is longer than this server takes.", "Cookies are the usual cause.")
	refuseManyFields  = refusal(431, "too-many-fields", "The request has more field lines than this server takes.", "")
	refuseMethod      = refusal(501, "method-not-implemented", "TRACE and CONNECT are not implemented.", "This server is not a forward proxy.")
	refuseCoding      = refusal(501, "coding-not-implemented", "Transfer-Encoding is something other than chunked, once.", "Send Transfer-Encoding: chunked or a Content-Length.")
	refuseVersion     = refusal(505, "version-not-supported", "The version is not HTTP/1.1 or HTTP/1.0.", "Send HTTP/1.1.")
)

func refusal(status int, code, message, hint string) *fault {
	f := refuse(status, code, message)
	f.hint = hint
	return f
}

// renderRefusal is the whole answer to a request that is refused with f. The
// connection closes after it, so that even HEAD may get the body.
func renderRefusal(f *fault, region string) []byte {
	body := f.json()
	h := http.Header{
		"Cache-Control":          {"no-store"},
		"Connection":             {"close"},
		"Content-Length":         {strconv.Itoa(len(body))},
		"Content-Type":           {"application/json"},
		"Via":                    {via},
		"X-Content-Type-Options": {"nosniff"},
	}
	refused(f).Apply(h, region)
	b := []byte("HTTP/1.1 " + strconv.Itoa(f.status) + " " + http.StatusText(f.status) + "\r\n")
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			b = append(b, name+": "+v+"\r\n"...)
		}
	}
	return append(append(b, "\r\n"...), body...)
}
