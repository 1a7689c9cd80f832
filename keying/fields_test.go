package keying_test

import (
	"net/http"
	"testing"

	"weir/keying"
)

func TestAcceptEncoding(t *testing.T) {
	tests := []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"gzip"}, "gzip"},
		{[]string{"zstd, gzip, br"}, "br, gzip, zstd"},
		{[]string{"gzip, deflate, br, zstd"}, "br, gzip, zstd"},
		{[]string{"gzip, deflate"}, "gzip"},
		{[]string{"deflate, compress"}, ""},
		{[]string{"identity"}, ""},
		{[]string{"GZIP, Br"}, "br, gzip"},
		{[]string{"x-gzip"}, "gzip"},
		{[]string{"gzip;q=0"}, ""},
		{[]string{"gzip;q=0.000, br;q=0.001"}, "br"},
		{[]string{"gzip ; Q=1.000 , br\t;\tq=1"}, "br, gzip"},
		{[]string{"gzip;q=0.5;x=1, br;x=1;q=0"}, "gzip"},
		{[]string{"*"}, "br, gzip, zstd"},
		{[]string{"*;q=0"}, ""},
		{[]string{"*;q=0, gzip"}, "gzip"},
		{[]string{"br;q=0, *"}, "gzip, zstd"},
		{[]string{"identity;q=0, *;q=0.5"}, "br, gzip, zstd"},
		{[]string{"identity;q=0"}, ""},
		{[]string{"identity;q=0, gzip"}, "gzip"},
		{[]string{"gzip, gzip;q=0"}, ""},
		{[]string{"gzip;q=0, x-gzip"}, ""},
		{[]string{"gzip", "br"}, "br, gzip"},
		{[]string{",, gzip ,,"}, "gzip"},
		{[]string{"gzip;q="}, ""},
		{[]string{"gzip;q"}, ""},
		{[]string{"gzip;q=2"}, ""},
		{[]string{"gzip;q=1.001"}, ""},
		{[]string{"gzip;q=-1"}, ""},
		{[]string{"gzip;q=0.1234"}, ""},
		{[]string{"gzip;q=0.x"}, ""},
		{[]string{"gzip;;"}, "gzip"},
		{[]string{"gzip br"}, ""},
		{[]string{"bro, zstandard"}, ""},
	}
	for _, tt := range tests {
		if got := keying.AcceptEncoding(http.Header{"Accept-Encoding": tt.lines}); got != tt.want {
			t.Errorf("AcceptEncoding(%q) = %q, want %q", tt.lines, got, tt.want)
		}
	}
}
