package rfc9111

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzDate compares with package time, which knows the same forms and is more liberal.
func FuzzDate(f *testing.F) {
	for _, s := range []string{
		"Sat, 14 Mar 2026 15:09:26 GMT", "saturday, 14-MAR-26 15:09:26 gmt", "Sat Mar  4 15:09:26 2026",
		"Sat, 14 Mar 2026 5:09:26 GMT", "Sat, 31 Dec 2016 23:59:60 GMT", "Sat, 30 Feb 2026 15:09:26 GMT", ", ", "0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDate(s)
		want, err := http.ParseTime(strings.ToUpper(s))
		leap := strings.Contains(s, ":60")
		if ok && !leap && (err != nil || !got.Equal(want)) {
			t.Fatalf("%q is %v, not %v, %v", s, got, want, err)
		}
		// What package time writes as it was read follows the grammar.
		for _, layout := range []string{http.TimeFormat, time.RFC850, time.ANSIC} {
			if want, err := time.Parse(layout, s); err == nil && layout != time.RFC850 && want.Format(layout) == s && !ok {
				t.Fatalf("%q is %v and refused", s, want)
			}
		}
	})
}

// FuzzAge: no Age makes a response younger than without it, and lines behind the first mean nothing.
func FuzzAge(f *testing.F) {
	f.Add("60", "0")
	f.Add(" 7200 ;foo=bar, 0", "x")
	f.Add("-1", "99999999999999999999")
	f.Fuzz(func(t *testing.T, a, b string) {
		one := receivedAge(&Response{Header: http.Header{"Age": {a}}})
		two := receivedAge(&Response{Header: http.Header{"Age": {a, b}}})
		if one != two || one < 0 || one > maxSeconds*time.Second {
			t.Fatalf("%q is %v, with %q %v", a, one, b, two)
		}
	})
}
