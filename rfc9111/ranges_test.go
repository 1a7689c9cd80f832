package rfc9111_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

// RFC 9110 14.1.2, 14.2 and 15.3.7.2.
func TestParseRange(t *testing.T) {
	type ranges = []rfc9111.Range
	tests := []struct {
		field string
		size  int64
		want  ranges
		err   error
	}{
		{"bytes=0-0", 10, ranges{{0, 1}}, nil},
		{"bytes=0-9", 10, ranges{{0, 10}}, nil},
		{"bytes=2-", 10, ranges{{2, 8}}, nil},
		{"bytes=9-", 10, ranges{{9, 1}}, nil},
		{"bytes=0-99", 10, ranges{{0, 10}}, nil},
		{"bytes=-3", 10, ranges{{7, 3}}, nil},
		{"bytes=-10", 10, ranges{{0, 10}}, nil},
		{"bytes=-99", 10, ranges{{0, 10}}, nil},
		{"BYTES=0-1", 10, ranges{{0, 2}}, nil},
		{" bytes=0-1 ", 10, ranges{{0, 2}}, nil},
		{"bytes= 0-1 ,\t4-5", 10, ranges{{0, 2}, {4, 2}}, nil},
		{"bytes=,0-1,,4-5,", 10, ranges{{0, 2}, {4, 2}}, nil},
		{"bytes=00000000000000000000-1", 10, ranges{{0, 2}}, nil},

		// Order as asked, coalesced where they overlap or touch.
		{"bytes=4-5,0-1", 10, ranges{{4, 2}, {0, 2}}, nil},
		{"bytes=0-3,2-5", 10, ranges{{0, 6}}, nil},
		{"bytes=2-5,0-3", 10, ranges{{0, 6}}, nil},
		{"bytes=0-1,2-3", 10, ranges{{0, 4}}, nil},
		{"bytes=0-1,3-4", 10, ranges{{0, 2}, {3, 2}}, nil},
		{"bytes=0-1,8-9,1-8", 10, ranges{{0, 10}}, nil},
		{"bytes=8-9,4-5,0-1,4-6", 10, ranges{{8, 2}, {4, 3}, {0, 2}}, nil},
		{"bytes=0-,0-,0-,0-,0-,0-,0-,0-", 10, ranges{{0, 10}}, nil},
		{"bytes=0-0,-1", 10, ranges{{0, 1}, {9, 1}}, nil},

		// What is out of reach is left out, unless nothing remains.
		{"bytes=10-", 10, nil, rfc9111.ErrUnsatisfiable},
		{"bytes=10-20", 10, nil, rfc9111.ErrUnsatisfiable},
		{"bytes=-0", 10, nil, rfc9111.ErrUnsatisfiable},
		{"bytes=20-30,-0,10-", 10, nil, rfc9111.ErrUnsatisfiable},
		{"bytes=20-30,0-1", 10, ranges{{0, 2}}, nil},
		{"bytes=0-", 0, nil, rfc9111.ErrUnsatisfiable},
		{"bytes=-0", 0, nil, rfc9111.ErrUnsatisfiable},
		{"bytes=-1", 0, nil, nil}, // satisfiable, and nothing to send

		// Numbers of any length.
		{"bytes=0-99999999999999999999999", 10, ranges{{0, 10}}, nil},
		{"bytes=-99999999999999999999999", 10, ranges{{0, 10}}, nil},
		{"bytes=99999999999999999999999-", 10, nil, rfc9111.ErrUnsatisfiable},
		{"bytes=99999999999999999999999-99999999999999999999998", 10, nil, rfc9111.ErrUnsatisfiable},
		{"bytes=0-9223372036854775807", math.MaxInt64, ranges{{0, math.MaxInt64}}, nil},
		{"bytes=9223372036854775806-", math.MaxInt64, ranges{{math.MaxInt64 - 1, 1}}, nil},

		// Ignored.
		{"", 10, nil, nil},
		{"bytes", 10, nil, nil},
		{"bytes=", 10, nil, nil},
		{"bytes=,", 10, nil, nil},
		{"bytes=-", 10, nil, nil},
		{"bytes=1", 10, nil, nil},
		{"bytes=2-1", 10, nil, nil},
		{"bytes=0-1,2-1", 10, nil, nil},
		{"bytes=a-b", 10, nil, nil},
		{"bytes=0-1x", 10, nil, nil},
		{"bytes=+0-1", 10, nil, nil},
		{"bytes=0--1", 10, nil, nil},
		{"bytes=--1", 10, nil, nil},
		{"bytes=0 - 1", 10, nil, nil},
		{"bytes =0-1", 10, nil, nil},
		{"bytes:0-1", 10, nil, nil},
		{"items=0-1", 10, nil, nil},
		{"bytes=0-1;2-3", 10, nil, nil},
		{"bytes=0-1", -1, nil, nil},
		{"bytes=" + strings.Repeat("0-0,", 9), 10, nil, nil},
		{"bytes=" + strings.Repeat("0-,", 1000), 10, nil, nil},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%.40s of %d", tt.field, tt.size), func(t *testing.T) {
			got, err := rfc9111.ParseRange(tt.field, tt.size)
			if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("got %v %v, want %v %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// checkRanges holds what must be true of any outcome.
func checkRanges(t interface{ Fatalf(string, ...any) }, ranges []rfc9111.Range, err error, size int64) {
	if err != nil && (ranges != nil || !errors.Is(err, rfc9111.ErrUnsatisfiable)) || len(ranges) > rfc9111.MaxRanges {
		t.Fatalf("%v, %v", ranges, err)
	}
	for i, r := range ranges {
		if r.Start < 0 || r.Length <= 0 || r.Start > size-r.Length {
			t.Fatalf("%v is not within %d", r, size)
		}
		for _, o := range ranges[:i] {
			if r.Start <= o.Start+o.Length && o.Start <= r.Start+r.Length {
				t.Fatalf("%v and %v should be one", o, r)
			}
		}
	}
}

// The bytes that come back are those that were asked for, no more and no fewer.
func TestParseRangeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 40).Draw(t, "size")
		asked := make([]bool, size)
		var specs []string
		for range rapid.IntRange(1, rfc9111.MaxRanges).Draw(t, "ranges") {
			first := rapid.Int64Range(0, 45).Draw(t, "first")
			last := first + rapid.Int64Range(0, 20).Draw(t, "more")
			if rapid.Bool().Draw(t, "suffix") {
				specs = append(specs, fmt.Sprintf("-%d", first))
				first, last = max(size-first, 0), size-1
			} else {
				specs = append(specs, fmt.Sprintf("%d-%d", first, last))
			}
			for i := first; i <= last && i < size; i++ {
				asked[i] = true
			}
		}
		ranges, err := rfc9111.ParseRange("bytes="+strings.Join(specs, ","), size)
		checkRanges(t, ranges, err, size)
		got := make([]bool, size)
		for _, r := range ranges {
			for i := r.Start; i < r.Start+r.Length; i++ {
				got[i] = true
			}
		}
		if !slices.Equal(got, asked) || (err != nil) != !slices.Contains(asked, true) {
			t.Fatalf("%v of %d: %v %v", specs, size, ranges, err)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	for _, field := range []string{"bytes=0-1,4-", "bytes=-5,0-0", "bytes=9223372036854775807-9223372036854775807", "items=0-1"} {
		f.Add(field, int64(10))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		ranges, err := rfc9111.ParseRange(field, size)
		checkRanges(t, ranges, err, size)
	})
}
