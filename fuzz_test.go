package weir_test

import (
	"net/http"
	"testing"
	"time"

	"weir"
	"weir/kv"
)

// Whatever a node answers is a value with a lifetime that means something, or an error.
func FuzzValueOf(f *testing.F) {
	f.Add(`"41"`, "17", "59.5", "600", "a,b")
	f.Add(`"0"`, "0", "", "", "")
	f.Add(`W/"1"`, "-1", "NaN", "Inf", ",")
	f.Add("", "18446744073709551616", "1e300", "-1", "a")
	f.Fuzz(func(t *testing.T, etag, epoch, ttl, stale, tags string) {
		h := http.Header{"Etag": {etag}, "Weir-Epoch": {epoch}, "Weir-Ttl": {ttl}, "Weir-Stale": {stale}, "Cache-Tag": {tags}}
		asked := time.Now()
		v, err := weir.ValueOf(h, []byte("body"), asked)
		if err != nil {
			return
		}
		if v.Fresh.IsZero() != v.Until.IsZero() || v.Until.Before(v.Fresh) || !v.Fresh.IsZero() && v.Fresh.Before(asked) || v.Until.After(asked.Add(2*kv.MaxLifetime)) {
			t.Errorf("fresh until %v, there until %v, asked at %v", v.Fresh, v.Until, asked)
		}
	})
}
