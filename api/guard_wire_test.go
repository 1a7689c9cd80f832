package api_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/api"
)

// wireCase is a sequence of raw bytes on a connection and what must come of it.
// The runner sends a canary request after it, on the same connection.
type wireCase struct {
	name string
	in   string
	// want holds the statuses of the final answers to in, in order. After a status
	// of 400 or more the connection must be closed and the canary unanswered;
	// otherwise the canary must get its own answer.
	want []int
	// sees is what handlers may see: "METHOD target host body" of each request.
	sees []string
	// eof ends the client's side after the canary: the case swallows it.
	eof bool
}

// closes says whether the connection must end with the case.
func (c wireCase) closes() bool {
	return c.eof || len(c.want) > 0 && c.want[len(c.want)-1] >= 400
}

// get is a GET request for target with further field lines.
func get(target string, fields ...string) string {
	return request("GET "+target+" HTTP/1.1", append([]string{"Host: a.test"}, fields...)...)
}

// post is a POST request with further field lines; the caller appends the body.
func post(fields ...string) string {
	return request("POST /p HTTP/1.1", append([]string{"Host: a.test"}, fields...)...)
}

func request(line string, fields ...string) string {
	return line + "\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
}

// chunked is a POST request with a raw chunked body.
func chunked(body string) string { return post("Transfer-Encoding: chunked") + body }

// refused is a case whose one request no handler may see.
func refused(name, in string, status int) wireCase {
	return wireCase{name: name, in: in, want: []int{status}}
}

// passed is a case whose one request is answered.
func passed(name, in, sees string) wireCase {
	return wireCase{name: name, in: in, want: []int{200}, sees: []string{sees}}
}

func lines(n int) []string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf("X-%d: v", i)
	}
	return fields
}

const seesRoot = "GET / a.test "

var wireCases = slices.Concat(requestLineCases, targetCases, hostCases, fieldCases, framingCases, chunkCases, sequenceCases)

var requestLineCases = []wireCase{
	passed("plain", get("/"), seesRoot),
	passed("HTTP/1.0 with keep-alive", request("GET / HTTP/1.0", "Host: a.test", "Connection: keep-alive"), seesRoot),
	passed("one empty line before", "\r\n"+get("/"), seesRoot),
	refused("two empty lines before", "\r\n\r\n"+get("/"), 400),
	refused("bare LF before", "\n"+get("/"), 400),
	refused("bare CR before", "\r"+get("/"), 400),
	refused("space before method", " "+get("/"), 400),
	refused("two spaces after method", request("GET  / HTTP/1.1", "Host: a.test"), 400),
	refused("two spaces after target", request("GET /  HTTP/1.1", "Host: a.test"), 400),
	refused("space after version", request("GET / HTTP/1.1 ", "Host: a.test"), 400),
	refused("tab between", request("GET\t/ HTTP/1.1", "Host: a.test"), 400),
	refused("vertical tab between", request("GET /\vHTTP/1.1", "Host: a.test"), 400),
	refused("no version", request("GET /", "Host: a.test"), 400),
	refused("no version and a trailing space", request("GET / ", "Host: a.test"), 400),
	refused("HTTP/0.9", "GET /\r\n", 400),
	refused("no target", request("GET HTTP/1.1", "Host: a.test"), 400),
	refused("empty target", request("GET  HTTP/1.1", "Host: a.test"), 400),
	refused("lower case version", request("GET / http/1.1", "Host: a.test"), 400),
	refused("version without minor", request("GET / HTTP/1", "Host: a.test"), 400),
	refused("version with two digits", request("GET / HTTP/1.10", "Host: a.test"), 400),
	refused("version with a sign", request("GET / HTTP/+1.1", "Host: a.test"), 400),
	refused("HTTP/1.2", request("GET / HTTP/1.2", "Host: a.test"), 505),
	refused("HTTP/0.9 in words", request("GET / HTTP/0.9", "Host: a.test"), 505),
	refused("HTTP/2.0 in words", request("GET / HTTP/2.0", "Host: a.test"), 505),
	refused("HTTP/3.0 in words", request("GET / HTTP/3.0", "Host: a.test"), 505),
	refused("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
	refused("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
	refused("SSH banner", "SSH-2.0-OpenSSH_9.2\r\n", 400),
	refused("NUL in method", request("GE\x00T / HTTP/1.1", "Host: a.test"), 400),
	refused("colon in method", request("GET: / HTTP/1.1", "Host: a.test"), 400),
	refused("slash in method", request("GET/x / HTTP/1.1", "Host: a.test"), 400),
	passed("method of one's own", request("PURGE / HTTP/1.1", "Host: a.test"), "PURGE / a.test "),
	passed("lower case method", request("get / HTTP/1.1", "Host: a.test"), "get / a.test "),
	refused("TRACE", request("TRACE / HTTP/1.1", "Host: a.test"), 501),
	refused("CONNECT authority", request("CONNECT a.test:443 HTTP/1.1", "Host: a.test"), 501),
	refused("CONNECT path", request("CONNECT / HTTP/1.1", "Host: a.test"), 501),
	refused("bare LF after request line", "GET / HTTP/1.1\nHost: a.test\r\n\r\n", 400),
	refused("bare LF everywhere", "GET / HTTP/1.1\nHost: a.test\n\n", 400),
	refused("bare CR after request line", "GET / HTTP/1.1\rHost: a.test\r\r", 400),
	refused("CR CR LF", "GET / HTTP/1.1\r\r\nHost: a.test\r\n\r\n", 400),
	refused("request line over the limit", get("/"+strings.Repeat("a", 20<<10)), 414),
	refused("method over the limit", strings.Repeat("A", 20<<10), 414),
}

var targetCases = []wireCase{
	passed("query", get("/a?b=c&d"), "GET /a?b=c&d a.test "),
	passed("empty query", get("/a?"), "GET /a? a.test "),
	passed("double slash", get("//a.test/x"), "GET //a.test/x a.test "),
	passed("dots", get("/./a/../b"), "GET /./a/../b a.test "),
	passed("encoded slash", get("/a%2Fb%2f"), "GET /a%2Fb%2f a.test "),
	passed("encoded percent", get("/a%2523"), "GET /a%2523 a.test "),
	passed("encoded CR LF", get("/a%0d%0aX:%20y"), "GET /a%0d%0aX:%20y a.test "),
	passed("encoded hash", get("/a%23b"), "GET /a%23b a.test "),
	passed("semicolon", get("/account;x.css"), "GET /account;x.css a.test "),
	passed("stray percent in query", get("/?q=100%"), "GET /?q=100% a.test "),
	passed("bad escape in query", get("/?a=1;b=2&c=%zz"), "GET /?a=1;b=2&c=%zz a.test "),
	passed("pipes and braces", get("/?q={a|b}^`"), "GET /?q={a|b}^` a.test "),
	passed("quotes and angles", get(`/?q="<x>'`), `GET /?q="<x>' a.test `),
	passed("raw UTF-8", get("/é?ü"), "GET /é?ü a.test "),
	passed("OPTIONS of a path", request("OPTIONS /x HTTP/1.1", "Host: a.test"), "OPTIONS /x a.test "),
	{name: "OPTIONS *", in: request("OPTIONS * HTTP/1.1", "Host: a.test"), want: []int{204}, sees: []string{"OPTIONS * a.test "}},
	refused("GET *", get("*"), 400),
	refused("two stars", request("OPTIONS ** HTTP/1.1", "Host: a.test"), 400),
	refused("fragment", get("/a#b"), 400),
	refused("fragment in query", get("/a?b#c"), 400),
	refused("fragment alone", get("#"), 400),
	refused("backslash", get(`/a\b`), 400),
	refused("backslash first", get(`\a`), 400),
	refused("backslash in query", get(`/a?\`), 400),
	refused("encoded NUL", get("/a%00b"), 400),
	refused("encoded NUL in query", get("/?a=%00"), 400),
	refused("NUL", get("/a\x00b"), 400),
	refused("tab", get("/a\tb"), 400),
	refused("space", get("/a b"), 400),
	refused("DEL", get("/a\x7fb"), 400),
	refused("bell in query", get("/?\a"), 400),
	refused("CR", get("/a\rb"), 400),
	refused("bad escape", get("/a%zz"), 400),
	refused("half an escape", get("/a%2"), 400),
	refused("percent at the end", get("/a%"), 400),
	refused("no leading slash", get("a/b"), 400),
	refused("query alone", get("?a"), 400),
	refused("authority alone", get("a.test"), 400),
	refused("authority with port", get("a.test:80"), 400),
	passed("absolute", get("http://a.test/x?y"), "GET http://a.test/x?y a.test "),
	passed("absolute without path", get("http://a.test"), "GET http://a.test a.test "),
	passed("absolute with query alone", get("http://a.test?x"), "GET http://a.test?x a.test "),
	passed("absolute in capitals", get("HTTP://A.TEST/"), "GET HTTP://A.TEST/ A.TEST "),
	passed("absolute with port", request("GET http://a.test:81/ HTTP/1.1", "Host: a.test:81"), "GET http://a.test:81/ a.test:81 "),
	refused("absolute with another host", get("http://evil.test/"), 400),
	refused("absolute with another port", get("http://a.test:81/"), 400),
	refused("absolute with userinfo", get("http://u@a.test/"), 400),
	refused("absolute https on a plain connection", get("https://a.test/"), 400),
	refused("absolute ftp", get("ftp://a.test/"), 400),
	refused("absolute file", get("file:///etc/passwd"), 400),
	refused("absolute javascript", get("javascript:alert(1)"), 400),
	refused("absolute without host", get("http:///x"), 400),
	refused("absolute with one slash", get("http:/a.test/x"), 400),
	refused("absolute with fragment", get("http://a.test/#x"), 400),
	refused("absolute with fragment for path", get("http://a.test#x"), 400),
	refused("absolute with backslash", get(`http://a.test\x`), 400),
	refused("absolute with a prefix of Host", get("http://a.tes/"), 400),
	refused("absolute without Host", request("GET http://a.test/ HTTP/1.1", "X: y"), 400),
}

var hostCases = []wireCase{
	passed("host with port", request("GET / HTTP/1.1", "Host: a.test:8080"), "GET / a.test:8080 "),
	passed("host in capitals", request("GET / HTTP/1.1", "hOST: A.Test"), "GET / A.Test "),
	passed("host with trailing dot", request("GET / HTTP/1.1", "Host: a.test."), "GET / a.test. "),
	passed("host with underscore", request("GET / HTTP/1.1", "Host: web_1"), "GET / web_1 "),
	passed("IPv4 host", request("GET / HTTP/1.1", "Host: 127.0.0.1:80"), "GET / 127.0.0.1:80 "),
	passed("IPv6 host", request("GET / HTTP/1.1", "Host: [::1]:80"), "GET / [::1]:80 "),
	refused("no host", request("GET / HTTP/1.1", "X: y"), 400),
	refused("no fields at all", "GET / HTTP/1.1\r\n\r\n", 400),
	refused("no host, HTTP/1.0", request("GET / HTTP/1.0", "X: y"), 400),
	refused("empty host", request("GET / HTTP/1.1", "Host: "), 400),
	refused("host twice", get("/", "Host: a.test"), 400),
	refused("two hosts", get("/", "Host: b.test"), 400),
	refused("host list", request("GET / HTTP/1.1", "Host: a.test, b.test"), 400),
	refused("host with quote", request("GET / HTTP/1.1", "Host: a,b'"), 400),
	refused("host in quotes", request("GET / HTTP/1.1", `Host: "a.test"`), 400),
	refused("host with userinfo", request("GET / HTTP/1.1", "Host: u:p@a.test"), 400),
	refused("host with path", request("GET / HTTP/1.1", "Host: a.test/x"), 400),
	refused("host with query", request("GET / HTTP/1.1", "Host: a.test?x"), 400),
	refused("host with space", request("GET / HTTP/1.1", "Host: a.test b.test"), 400),
	refused("host with tab", request("GET / HTTP/1.1", "Host: a\ttest"), 400),
	refused("host with escape", request("GET / HTTP/1.1", "Host: a%2etest"), 400),
	refused("host in UTF-8", request("GET / HTTP/1.1", "Host: bücher.test"), 400),
	refused("host with backslash", request("GET / HTTP/1.1", `Host: a.test\b`), 400),
	refused("host with empty port", request("GET / HTTP/1.1", "Host: a.test:"), 400),
	refused("host with large port", request("GET / HTTP/1.1", "Host: a.test:65536"), 400),
	refused("host with huge port", request("GET / HTTP/1.1", "Host: a.test:18446744073709551696"), 400),
	refused("host with port name", request("GET / HTTP/1.1", "Host: a.test:http"), 400),
	refused("host with two ports", request("GET / HTTP/1.1", "Host: a.test:80:81"), 400),
	refused("host is a port", request("GET / HTTP/1.1", "Host: :80"), 400),
	refused("IPv6 host without brackets", request("GET / HTTP/1.1", "Host: ::1"), 400),
	refused("IPv6 host without end", request("GET / HTTP/1.1", "Host: [::1"), 400),
	refused("IPv6 host with zone", request("GET / HTTP/1.1", "Host: [fe80::1%25eth0]"), 400),
	refused("IPv6 host with a tail", request("GET / HTTP/1.1", "Host: [::1]x"), 400),
	refused("IPv4 host in brackets", request("GET / HTTP/1.1", "Host: [127.0.0.1]"), 400),
	refused("IPv6 host of nonsense", request("GET / HTTP/1.1", "Host: [1:2:3]"), 400),
	refused("host over 255 bytes", request("GET / HTTP/1.1", "Host: "+strings.Repeat("a", 256)), 400),
	refused("space in front of Host's colon", request("GET / HTTP/1.1", "Host : a.test"), 400),
	refused("URL as host", request("GET / HTTP/1.1", "Host: http://a.test"), 400),
}

var fieldCases = []wireCase{
	passed("name with underscore", get("/", "X_Forwarded_Host: evil"), seesRoot),
	passed("empty value", get("/", "X:"), seesRoot),
	passed("spaces and tabs around a value", get("/", "X: \t y \t"), seesRoot),
	passed("obs-text in a value", get("/", "X: \xe9\xff"), seesRoot),
	passed("every token byte in a name", get("/", "!#$%&'*+-.^_`|~09azAZ: y"), seesRoot),
	passed("Connection names fields", get("/", "Connection: Authorization, Cookie, Host", "Authorization: x"), seesRoot),
	passed("two Connection lines", get("/", "Connection:", "Connection: X-Tenant"), seesRoot),
	passed("100 lines", get("/", lines(99)...), seesRoot),
	refused("101 lines", get("/", lines(100)...), 431),
	refused("2500 lines", get("/", lines(2500)...), 431),
	passed("head just within the limit", get("/", "X: "+strings.Repeat("v", 16<<10-len(get("/", "X: ")))), seesRoot),
	refused("head one byte over the limit", get("/", "X: "+strings.Repeat("v", 16<<10-len(get("/", "X: "))+1)), 431),
	refused("head of 60 KB", get("/", "X: "+strings.Repeat("v", 60000)), 431),
	refused("head of 1 MB", get("/", "X: "+strings.Repeat("v", 1000000)), 431),
	refused("space before colon", get("/", "X : y"), 400),
	refused("tab before colon", get("/", "X\t: y"), 400),
	refused("vertical tab before colon", get("/", "X\v: y"), 400),
	refused("space in name", get("/", "X Y: z"), 400),
	refused("no colon", get("/", "XY"), 400),
	refused("no name", get("/", ": y"), 400),
	refused("NUL in name", get("/", "X\x00Y: z"), 400),
	refused("UTF-8 in name", get("/", "Xé: z"), 400),
	refused("parenthesis in name", get("/", "X(Y): z"), 400),
	refused("quotes in name", get("/", `"X": z`), 400),
	refused("folded line", get("/", "X: a", " b"), 400),
	refused("folded line with tab", get("/", "X: a", "\tb"), 400),
	refused("folded empty line", get("/", "X: a", " "), 400),
	refused("folded framing", post("Transfer-Encoding:", " chunked")+"0\r\n\r\n", 501),
	refused("first field is folded", request("GET / HTTP/1.1", " Host: a.test"), 400),
	refused("NUL in value", get("/", "X: a\x00b"), 400),
	refused("bell in value", get("/", "X: \a"), 400),
	refused("CR in value", get("/", "X: a\rY: b"), 400),
	refused("DEL in value", get("/", "X: \x7f"), 400),
	refused("vertical tab in value", get("/", "X: \v"), 400),
	refused("form feed in value", get("/", "X: \f"), 400),
	refused("escape byte in value", get("/", "X: \x1b[0m"), 400),
	refused("bare LF in fields", "GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n", 400),
	refused("bare LF before the empty line", "GET / HTTP/1.1\r\nHost: a.test\n\r\n", 400),
	refused("bare LF for the empty line", "GET / HTTP/1.1\r\nHost: a.test\r\n\n", 400),
	refused("CR CR LF for the empty line", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\r\n", 400),
	refused("expectation of one's own", post("Expect: the-worst", "Content-Length: 0"), 417),
	refused("two expectations in one", post("Expect: 100-continue, x", "Content-Length: 0"), 417),
	refused("two expectations", post("Expect: 100-continue", "Expect: 100-continue", "Content-Length: 0"), 417),
	refused("empty expectation", post("Expect:", "Content-Length: 0"), 417),
	refused("expectation with parameter", post("Expect: 100-continue;q=1", "Content-Length: 0"), 417),
	passed("expectation in capitals", post("Expect: 100-CONTINUE", "Content-Length: 1")+"x", "POST /p a.test x"),
	passed("expectation without body", get("/", "Expect: 100-continue"), seesRoot),
	passed("expectation in HTTP/1.0", request("POST /p HTTP/1.0", "Host: a.test", "Connection: keep-alive", "Expect: 100-continue", "Content-Length: 1")+"x", "POST /p a.test x"),
}

var framingCases = []wireCase{
	passed("length", post("Content-Length: 3")+"abc", "POST /p a.test abc"),
	passed("length 0", post("Content-Length: 0"), "POST /p a.test "),
	passed("no length", post(), "POST /p a.test "),
	passed("body on GET", get("/", "Content-Length: 3")+"abc", "GET / a.test abc"),
	passed("body that looks like a request", post("Content-Length: 22")+"GET /evil HTTP/1.1\r\n\r\n", "POST /p a.test GET /evil HTTP/1.1\r\n\r\n"),
	passed("space around the length", post("Content-Length:  \t3\t ")+"abc", "POST /p a.test abc"),
	refused("length twice", post("Content-Length: 3", "Content-Length: 3")+"abc", 400),
	refused("differing lengths", post("Content-Length: 3", "Content-Length: 4")+"abc", 400),
	refused("length list", post("Content-Length: 3, 3")+"abc", 400),
	refused("length with plus", post("Content-Length: +3")+"abc", 400),
	refused("negative length", post("Content-Length: -1"), 400),
	refused("length of minus zero", post("Content-Length: -0"), 400),
	refused("hex length", post("Content-Length: 0x3")+"abc", 400),
	refused("length with leading zero", post("Content-Length: 03")+"abc", 400),
	refused("empty length", post("Content-Length:")+"abc", 400),
	refused("length with a point", post("Content-Length: 3.0")+"abc", 400),
	refused("length with exponent", post("Content-Length: 3e0")+"abc", 400),
	refused("length with underscore", post("Content-Length: 1_0")+"0123456789", 400),
	refused("length in quotes", post(`Content-Length: "3"`)+"abc", 400),
	refused("length in fullwidth digits", post("Content-Length: ３")+"abc", 400),
	refused("length of 19 digits", post("Content-Length: 9223372036854775807"), 400),
	refused("length over 64 bits", post("Content-Length: 18446744073709551619")+"abc", 400),
	refused("space before the length's colon", post("Content-Length : 3")+"abc", 400),
	refused("length and chunked", post("Content-Length: 3", "Transfer-Encoding: chunked")+"0\r\n\r\n", 400),
	refused("chunked and length", post("Transfer-Encoding: chunked", "Content-Length: 3")+"0\r\n\r\n", 400),
	refused("length 0 and chunked", post("Content-Length: 0", "Transfer-Encoding: chunked")+"0\r\n\r\n", 400),
	refused("chunked in HTTP/1.0", request("POST /p HTTP/1.0", "Host: a.test", "Transfer-Encoding: chunked")+"0\r\n\r\n", 400),
	refused("coding twice", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")+"0\r\n\r\n", 501),
	refused("two codings", post("Transfer-Encoding: gzip", "Transfer-Encoding: chunked")+"0\r\n\r\n", 501),
	refused("coding list", post("Transfer-Encoding: gzip, chunked")+"0\r\n\r\n", 501),
	refused("chunked twice in a list", post("Transfer-Encoding: chunked, chunked")+"0\r\n\r\n", 501),
	refused("chunked not last", post("Transfer-Encoding: chunked, identity")+"0\r\n\r\n", 501),
	refused("identity", post("Transfer-Encoding: identity"), 501),
	refused("unknown coding", post("Transfer-Encoding: xchunked")+"0\r\n\r\n", 501),
	refused("empty coding", post("Transfer-Encoding:"), 501),
	refused("coding with a comma", post("Transfer-Encoding: chunked,")+"0\r\n\r\n", 501),
	refused("coding with parameter", post("Transfer-Encoding: chunked;q=1")+"0\r\n\r\n", 501),
	refused("coding in quotes", post(`Transfer-Encoding: "chunked"`)+"0\r\n\r\n", 501),
	refused("vertical tab before chunked", post("Transfer-Encoding: \vchunked")+"0\r\n\r\n", 400),
	refused("vertical tab after chunked", post("Transfer-Encoding: chunked\v")+"0\r\n\r\n", 400),
	refused("space before the coding's colon", post("Transfer-Encoding : chunked")+"0\r\n\r\n", 400),
	passed("coding's name with underscore", post("Transfer_Encoding: chunked", "Content-Length: 1")+"x", "POST /p a.test x"),
	passed("coding in capitals", post("tRANSFER-eNCODING: CHUNKED")+"1\r\nx\r\n0\r\n\r\n", "POST /p a.test x"),
	passed("upgrade with a body", post("Connection: upgrade", "Upgrade: x", "Content-Length: 3")+"abc", "POST /p a.test abc"),
	{name: "body cut short", in: post("Content-Length: 4000") + "abc", want: []int{400}, eof: true},
}

var chunkCases = []wireCase{
	passed("no chunks", chunked("0\r\n\r\n"), "POST /p a.test "),
	passed("two chunks", chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "POST /p a.test abcde"),
	passed("hex sizes", chunked("A\r\n0123456789\r\nb\r\n01234567890\r\n0\r\n\r\n"), "POST /p a.test 012345678901234567890"),
	passed("leading zeros", chunked("0003\r\nabc\r\n000\r\n\r\n"), "POST /p a.test abc"),
	passed("extension", chunked("3;a=b;c\r\nabc\r\n0;d\r\n\r\n"), "POST /p a.test abc"),
	passed("quoted extension", chunked("3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n"), "POST /p a.test abc"),
	passed("many chunks", chunked(strings.Repeat("1\r\nx\r\n", 40)+"0\r\n\r\n"), "POST /p a.test "+strings.Repeat("x", 40)),
	passed("many extensions", chunked(strings.Repeat("1;"+strings.Repeat("e", 100)+"\r\nx\r\n", 4)+"0\r\n\r\n"), "POST /p a.test xxxx"),
	passed("trailer", chunked("3\r\nabc\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n"), "POST /p a.test abc"),
	passed("data of line ends", chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "POST /p a.test \r\n\r\n"),
	passed("data that looks like the end", chunked("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), "POST /p a.test 0\r\n\r\n"),
	refused("bare LF after size", chunked("3\nabc\r\n0\r\n\r\n"), 400),
	refused("bare LF after extension", chunked("3;a\nabc\r\n0\r\n\r\n"), 400),
	refused("bare LF in extension", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
	refused("bare LF in quoted extension", chunked("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n"), 400),
	refused("CR LF in quoted extension", chunked("3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n"), 400),
	refused("CR in extension", chunked("3;a\rb\r\nabc\r\n0\r\n\r\n"), 400),
	refused("NUL in extension", chunked("3;\x00\r\nabc\r\n0\r\n\r\n"), 400),
	refused("long extension", chunked("3;"+strings.Repeat("a", 257)+"\r\nabc\r\n0\r\n\r\n"), 400),
	refused("bare LF after data", chunked("3\r\nabc\n0\r\n\r\n"), 400),
	refused("bare CR after data", chunked("3\r\nabc\r0\r\n\r\n"), 400),
	refused("no line end after data", chunked("3\r\nabc0\r\n\r\n"), 400),
	refused("data longer than its size", chunked("3\r\nabcd\r\n0\r\n\r\n"), 400),
	refused("CR CR LF after size", chunked("3\r\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size with plus", chunked("+3\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size with minus", chunked("-3\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size with space before", chunked(" 3\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size with space after", chunked("3 \r\nabc\r\n0\r\n\r\n"), 400),
	refused("size with tab before extension", chunked("3\t;a\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size with underscore", chunked("0_3\r\nabc\r\n0\r\n\r\n"), 400),
	refused("empty size", chunked("\r\nabc\r\n0\r\n\r\n"), 400),
	refused("empty size with extension", chunked(";a\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size of no hex", chunked("g\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size of 16 digits", chunked("0000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size of 17 digits", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
	refused("size over 64 bits", chunked("FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"), 400),
	refused("bare LF for the end", chunked("0\r\n\n"), 400),
	refused("bare LF in trailer", chunked("0\r\nX: y\n\r\n"), 400),
	refused("folded trailer", chunked("0\r\nX: y\r\n z\r\n\r\n"), 400),
	refused("trailer without colon", chunked("0\r\nX\r\n\r\n"), 400),
	refused("request for trailer", chunked("0\r\nGET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n"), 400),
	refused("length in trailer", chunked("0\r\nContent-Length: 3\r\n\r\n"), 400),
	refused("coding in trailer", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
	refused("host in trailer", chunked("0\r\nHost: b.test\r\n\r\n"), 400),
	refused("long trailer", chunked("0\r\nX: "+strings.Repeat("y", 2048)+"\r\n\r\n"), 400),
	passed("announced trailer", post("Transfer-Encoding: chunked", "Trailer: X-Sum, Y")+"0\r\nX-Sum: 1\r\n\r\n", "POST /p a.test "),
	refused("coding announced among trailers", post("Transfer-Encoding: chunked", "Trailer: X,transfer-encoding ,")+"0\r\n\r\n", 400),
	refused("trailer announced as trailer", post("Transfer-Encoding: chunked", "Trailer: trailer")+"0\r\n\r\n", 400),
	refused("length announced in trailer", post("Transfer-Encoding: chunked", "Trailer: Content-Length")+"0\r\n\r\n", 400),
	{name: "chunk cut short", in: chunked("ffff\r\nabc"), want: []int{400}, eof: true},
}

var sequenceCases = []wireCase{
	{name: "two requests", in: get("/1") + get("/2"), want: []int{200, 200}, sees: []string{"GET /1 a.test ", "GET /2 a.test "}},
	{name: "empty line between", in: get("/1") + "\r\n" + get("/2"), want: []int{200, 200}, sees: []string{"GET /1 a.test ", "GET /2 a.test "}},
	{name: "empty line after a body", in: post("Content-Length: 1") + "x\r\n", want: []int{200}, sees: []string{"POST /p a.test x"}},
	{name: "two empty lines between", in: get("/1") + "\r\n\r\n" + get("/2"), want: []int{200, 400}, sees: []string{"GET /1 a.test "}},
	{name: "good, then bad", in: get("/1") + get("/2#"), want: []int{200, 400}, sees: []string{"GET /1 a.test "}},
	{name: "good, bad, good", in: get("/1") + get("/2#") + get("/3"), want: []int{200, 400}, sees: []string{"GET /1 a.test "}},
	{name: "bodies in a row", in: post("Content-Length: 1") + "x" + chunked("1\r\ny\r\n0\r\n\r\n") + post("Content-Length: 1") + "z", want: []int{200, 200, 200}, sees: []string{"POST /p a.test x", "POST /p a.test y", "POST /p a.test z"}},
	{name: "chunked, then a trailer, then a request", in: chunked("0\r\nX: y\r\n\r\n") + get("/2"), want: []int{200, 200}, sees: []string{"POST /p a.test ", "GET /2 a.test "}},
	{name: "bytes after a body", in: post("Content-Length: 1") + "x(y)", want: []int{200, 400}, sees: []string{"POST /p a.test x"}},
	{name: "broken chunks after a good request", in: get("/1") + chunked("x\r\n"), want: []int{200, 400}, sees: []string{"GET /1 a.test "}},
	{name: "large heads in a row", in: get("/1", "X: "+strings.Repeat("a", 9000)) + get("/2", "X: "+strings.Repeat("b", 9000)), want: []int{200, 200}, sees: []string{"GET /1 a.test ", "GET /2 a.test "}},
	{name: "large head, then a body", in: post("X: "+strings.Repeat("a", 9000), "Content-Length: 9000") + strings.Repeat("b", 9000) + get("/2"), want: []int{200, 200}, sees: []string{"POST /p a.test " + strings.Repeat("b", 9000), "GET /2 a.test "}},
	{name: "head for answer", in: request("HEAD / HTTP/1.1", "Host: a.test"), want: []int{200}, sees: []string{"HEAD / a.test "}},
}

// wireTarget is a server that wire cases are played against.
type wireTarget struct {
	addr   string
	sees   func(client string) []string // what its handler saw from a client's address; nil is not looked at
	broken string                       // in the answer to a body that broke off
}

// echo records what a handler sees and answers with it.
type echo struct {
	mu   sync.Mutex
	seen map[string][]string
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "broken body", http.StatusBadRequest)
		return
	}
	line := fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Host, body)
	e.mu.Lock()
	e.seen[r.RemoteAddr] = append(e.seen[r.RemoteAddr], line)
	e.mu.Unlock()
	if r.RequestURI == "*" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = io.WriteString(w, line)
}

func (e *echo) of(client string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[client]
}

const canary = "GET /canary HTTP/1.1\r\nHost: canary.test\r\nConnection: close\r\n\r\n"

// TestGuardWire plays every case in one piece and byte by byte.
func TestGuardWire(t *testing.T) {
	t.Parallel()
	e := &echo{seen: make(map[string][]string)}
	addr := serveGuarded(t, e, api.GuardOptions{})
	playWire(t, wireTarget{addr, e.of, "broken body"}, wireCases)
}

func playWire(t *testing.T, target wireTarget, cases []wireCase) {
	if len(cases) < 150 {
		t.Errorf("%d cases, want at least 150", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			target.play(t, c, len(c.in)+len(canary))
			if len(c.in) < 500 {
				target.play(t, c, 1)
			}
		})
	}
}

// play sends the case and the canary in writes of size bytes and checks what
// comes back.
func (target wireTarget) play(t *testing.T, c wireCase, size int) {
	t.Helper()
	conn := dial(t, target.addr)
	go func() {
		for piece := range slices.Chunk([]byte(c.in+canary), size) {
			if _, err := conn.Write(piece); err != nil {
				return // refused and closed: the answer tells
			}
		}
		if c.eof {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	r := bufio.NewReader(conn)
	said := ""
	for i, want := range c.want {
		method := "GET"
		if strings.HasPrefix(c.in, "HEAD") {
			method = "HEAD"
		}
		status, body := readAnswer(t, r, method)
		if said = body; status != want {
			t.Fatalf("answer %d: status %d, want %d: %s", i+1, status, want, body)
		}
	}
	sees := c.sees
	if !c.closes() {
		sees = append(slices.Clone(sees), "GET /canary canary.test ")
		if status, body := readAnswer(t, r, "GET"); status != 200 || body != sees[len(sees)-1] {
			t.Fatalf("the canary got %d %q", status, body)
		}
	}
	rest, err := io.ReadAll(r)
	if strings.Contains(said, target.broken) && errors.Is(err, syscall.ECONNRESET) {
		err = nil // an end too: net/http does not read on what follows a broken body
	}
	if len(rest) > 0 || err != nil {
		t.Fatalf("after the last answer: %q, %v; want a closed connection", rest, err)
	}
	if target.sees == nil {
		return
	}
	if got := target.sees(conn.LocalAddr().String()); !slices.Equal(got, sees) {
		t.Errorf("the handler saw %q, want %q", got, sees)
	}
}

// readAnswer reads one final answer.
func readAnswer(t *testing.T, r *bufio.Reader, method string) (status int, body string) {
	t.Helper()
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatalf("answer %d broke off: %v", resp.StatusCode, err)
		}
		if resp.StatusCode >= 200 {
			return resp.StatusCode, string(b)
		}
	}
}

// dial connects with a deadline that only a hanging test meets.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestDoorWire plays the same cases through a door and a shield to an origin.
func TestDoorWire(t *testing.T) {
	t.Parallel()
	origin := &echo{seen: make(map[string][]string)}
	server := api.NewServer(through(t, "", origin.ServeHTTP), nil)
	addr := startGuarded(t, server, listen(t), api.GuardOptions{})
	playWire(t, wireTarget{addr, nil, "bad-body"}, wireCases)
	for _, lines := range origin.seen {
		for _, line := range lines {
			if strings.HasPrefix(line, "GET /evil") || strings.Contains(line, " evil.test ") {
				t.Errorf("the origin saw %q", line)
			}
		}
	}
}
