package api

import (
	"bytes"
	"strings"
	"testing"
)

const plainHead = "GET /products/42?page=3 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
	"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: currency=eur; session=0123456789abcdef\r\n\r\n"

func TestParseHeadAllocatesNothing(t *testing.T) {
	in := []byte(plainHead)
	if n := testing.AllocsPerRun(100, func() {
		if _, size, no := parseHead(in, 16<<10, 100); size != len(in) || no != nil {
			t.Fatal(size, no)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// However the head is cut, a part of it is never refused and never accepted.
func TestParseHeadWaitsForTheRest(t *testing.T) {
	t.Parallel()
	for _, in := range []string{plainHead, "\r\n" + plainHead, strings.ReplaceAll(plainHead, "GET /", "OPTIONS http://shop.example.com/")} {
		for cut := range len(in) {
			if _, size, no := parseHead([]byte(in[:cut]), 16<<10, 100); size != 0 || no != nil {
				t.Fatalf("%q: %d, %v", in[:cut], size, no)
			}
		}
		if h, size, no := parseHead([]byte(in), 16<<10, 100); size != len(in) || no != nil || string(h.host) != "shop.example.com" || h.fields != 5 {
			t.Errorf("%q: %+v, %d, %v", in, h, size, no)
		}
	}
}

func TestHasControl(t *testing.T) {
	t.Parallel()
	for b := range 256 {
		for length := 1; length < 20; length++ {
			for at := range length {
				for _, around := range []byte{'a', '\t', 0xff, ' ', '~', 0x80} {
					v := bytes.Repeat([]byte{around}, length)
					v[at] = byte(b)
					if want := b < ' ' && b != '\t' || b == 0x7f; hasControl(v) != want {
						t.Fatalf("%q: %v", v, !want)
					}
				}
			}
		}
	}
}

func BenchmarkParseHead(b *testing.B) {
	in := []byte(plainHead)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, no := parseHead(in, 16<<10, 100); no != nil {
			b.Fatal(no)
		}
	}
}
