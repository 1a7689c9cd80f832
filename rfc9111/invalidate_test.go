package rfc9111_test

import (
	"net/http"
	"slices"
	"testing"

	"weir/rfc9111"
)

// RFC 9111 4.4.
func TestInvalidates(t *testing.T) {
	const own = "http://shop.example/cart?a=1"
	tests := []struct {
		name   string
		method string
		target string
		status int
		h      http.Header
		want   []string
	}{
		{"post", "POST", own, 200, nil, []string{own}},
		{"put", "PUT", own, 204, nil, []string{own}},
		{"delete", "DELETE", own, 200, nil, []string{own}},
		{"patch with a redirect", "PATCH", own, 303, nil, []string{own}},
		{"a method nobody knows", "M-SEARCH", own, 200, nil, []string{own}},
		{"get", "GET", own, 200, header("Location: /x"), nil},
		{"head", "HEAD", own, 200, nil, nil},
		{"options", "OPTIONS", own, 200, nil, nil},
		{"trace", "TRACE", own, 200, nil, nil},
		{"query", "QUERY", own, 200, nil, nil},
		{"client error", "POST", own, 404, nil, nil},
		{"server error", "POST", own, 500, nil, nil},
		{"interim", "POST", own, 100, nil, nil},
		{"location", "POST", own, 201, header("Location: /orders/7"), []string{own, "http://shop.example/orders/7"}},
		{"location relative to the path", "POST", own, 201, header("Location: x?b=%2f"), []string{own, "http://shop.example/x?b=%2f"}},
		{"location absolute", "POST", own, 201, header("Location: HTTP://SHOP.example:80/orders#top"), []string{own, "http://shop.example/orders"}},
		{"location without path", "POST", own, 201, header("Location: http://shop.example"), []string{own, "http://shop.example/"}},
		{"content-location", "POST", own, 200, header("Content-Location: /c"), []string{own, "http://shop.example/c"}},
		{"both", "POST", own, 200, header("Location: /l", "Content-Location: /c"), []string{own, "http://shop.example/l", "http://shop.example/c"}},
		{"the same twice", "POST", own, 200, header("Location: /l", "Content-Location: /l"), []string{own, "http://shop.example/l"}},
		{"itself", "POST", own, 200, header("Location: " + own), []string{own}},
		{"escapes stay as they are", "POST", own, 201, header("Location: /a%2Fb%20c"), []string{own, "http://shop.example/a%2Fb%20c"}},
		{"another host", "POST", own, 201, header("Location: http://other.example/x"), []string{own}},
		{"another scheme", "POST", own, 201, header("Location: https://shop.example/x"), []string{own}},
		{"another port", "POST", own, 201, header("Location: http://shop.example:8080/x"), []string{own}},
		{"another host without scheme", "POST", own, 201, header("Location: //other.example/x"), []string{own}},
		{"with a user", "POST", own, 201, header("Location: http://u:p@shop.example/x"), []string{own, "http://shop.example/x"}},
		{"not a URI", "POST", own, 201, header("Location: http://%zz/"), []string{own}},
		{"not http", "POST", own, 201, header("Location: mailto:a@b"), []string{own}},
		{"empty", "POST", own, 201, header("Location:"), []string{own}},
		{"target with a port", "POST", "https://[2001:db8::1]:8443/a", 201, header("Location: https://[2001:DB8::1]:8443/b"), []string{"https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/b"}},
		{"target that does not parse", "POST", "http://h/%zz", 201, header("Location: /b"), []string{"http://h/%zz"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := rfc9111.Invalidates(tt.method, tt.target, tt.status, tt.h); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
