package rfc9111_test

import (
	"testing"
	"time"

	"weir/rfc9111"
)

func TestSurrogateControl(t *testing.T) {
	on := &rfc9111.Rules{SurrogateControl: true}
	const minute, hour = time.Minute, time.Hour
	tests := []struct {
		name  string
		lines []string
		want  rfc9111.CachingStatus
		life  time.Duration
	}{
		{"alone", []string{"Surrogate-Control: max-age=3600"}, "ok", hour},
		{"over cache-control", []string{"Surrogate-Control: max-age=3600", "Cache-Control: max-age=60"}, "ok", hour},
		{"over a longer cache-control", []string{"Surrogate-Control: max-age=60", "Cache-Control: max-age=3600"}, "ok", minute},
		{"over no-store", []string{"Surrogate-Control: max-age=60", "Cache-Control: no-store"}, "ok", minute},
		{"over expires", []string{"Surrogate-Control: max-age=60", "Expires: 0"}, "ok", minute},
		{"under the field of all CDNs", []string{"Surrogate-Control: max-age=60", "Cdn-Cache-Control: max-age=3600"}, "ok", hour},
		{"no-store", []string{"Surrogate-Control: no-store", "Cache-Control: max-age=60", "Expires: " + date(hour)}, "no-max-age", 0},
		{"no-store beside max-age", []string{"Surrogate-Control: max-age=60, no-store"}, "pass", minute},
		{"no-store for remote surrogates", []string{"Surrogate-Control: max-age=60, no-store-remote"}, "pass", minute},
		{"zero", []string{"Surrogate-Control: max-age=0", "Expires: " + date(hour)}, "no-max-age", 0},
		{"older than it may be", []string{"Surrogate-Control: max-age=60", "Age: 60"}, "no-max-age", minute},
		{"without case", []string{"Surrogate-Control: MaX-aGe=60"}, "ok", minute},
		{"among others", []string{`Surrogate-Control: content="ESI/1.0, a", foobar, max-age=60`}, "ok", minute},
		{"on two lines", []string{"Surrogate-Control: foobar", "Surrogate-Control: max-age=60"}, "ok", minute},
		{"with an extension", []string{"Surrogate-Control: max-age=60+30"}, "ok", minute},
		{"very long", []string{"Surrogate-Control: max-age=99999999999"}, "ok", 1 << 31 * time.Second},
		{"not a number", []string{"Surrogate-Control: max-age=x", "Cache-Control: max-age=60"}, "no-max-age", 0},
		{"no number", []string{"Surrogate-Control: max-age", "Cache-Control: max-age=60"}, "no-max-age", 0},
		{"with spaces around =", []string{"Surrogate-Control: max-age = 60"}, "no-max-age", 0},
		{"two lifetimes", []string{"Surrogate-Control: max-age=60, max-age=61"}, "no-max-age", 0},
		{"nothing about storing", []string{`Surrogate-Control: content="ESI/1.0"`, "Cache-Control: max-age=60"}, "ok", minute},
		{"empty", []string{"Surrogate-Control: ,", "Cache-Control: max-age=60"}, "ok", minute},
		{"aimed here", []string{"Surrogate-Control: max-age=60;weir"}, "ok", minute},
		{"aimed here and at all", []string{"Surrogate-Control: max-age=60;weir, no-store"}, "ok", minute},
		{"aimed elsewhere", []string{"Surrogate-Control: max-age=60;other"}, "no-max-age", 0},
		{"aimed elsewhere, no-store", []string{"Surrogate-Control: no-store;other", "Cache-Control: max-age=60"}, "ok", minute},
		{"cookies stay barred", []string{"Surrogate-Control: max-age=60", "Set-Cookie: a=b"}, "set-cookie", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := rfc9111.Storable(get(), response(200, tt.lines...), on)
			if got.Status != tt.want || got.Terms.Lifetime != tt.life {
				t.Errorf("got %q, lifetime %v (%s), want %q, %v", got.Status, got.Terms.Lifetime, got.Reason, tt.want, tt.life)
			}
		})
	}
	resp := response(200, "Surrogate-Control: max-age=3600", "Cache-Control: max-age=60")
	if got := rfc9111.Storable(get(), resp, nil).Terms.Lifetime; got != minute {
		t.Errorf("without the rule: %v", got)
	}
}

// What is aimed at another surrogate never changes what this one does.
func FuzzSurrogateControl(f *testing.F) {
	f.Add("max-age=60", "no-store")
	f.Add(`content="a;b, c", max-age=60+5;weir`, `"x;weir`)
	on := &rfc9111.Rules{SurrogateControl: true}
	f.Fuzz(func(t *testing.T, field, other string) {
		one := response(200, "Cache-Control: max-age=5")
		one.Header["Surrogate-Control"] = []string{field}
		two := response(200, "Cache-Control: max-age=5")
		two.Header["Surrogate-Control"] = []string{field, "no-store;other", "max-age=7;other"}
		a, b := rfc9111.Storable(get(), one, on), rfc9111.Storable(get(), two, on)
		if a.Status != b.Status || a.Terms != b.Terms || a.Terms.Lifetime < 0 {
			t.Fatalf("%q: %+v and %+v", field, a, b)
		}
		two.Header["Surrogate-Control"] = []string{field, other, "no-store;weir"}
		if s := rfc9111.Storable(get(), two, on); s.Store {
			t.Fatalf("%q and %q hide no-store: %+v", field, other, s)
		}
	})
}
