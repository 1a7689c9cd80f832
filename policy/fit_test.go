package policy_test

import (
	"net/http"
	"testing"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		coding, accepted, control, vary string
		want                            policy.Fit
	}{
		{"", "gzip", "", "", policy.AsItIs},
		{"identity", "", "", "", policy.AsItIs},
		{"gzip", "gzip", "", "", policy.AsItIs},
		{"x-gzip", "gzip;q=0.1", "", "", policy.AsItIs},
		{"gzip", "", "", "", policy.Decoded},
		{"gzip", "gzip;q=0, *", "", "", policy.Decoded},
		{"br", "gzip", "", "Accept-Encoding", policy.Decoded},
		{"zstd", "br", "", "*", policy.Decoded},
		{"gzip", "gzip", "no-transform", "", policy.AsItIs},
		{"gzip", "", "no-transform", "", policy.Unfit},
		{"gzip, br", "gzip, br", "", "", policy.AsItIs},
		{"gzip, br", "gzip", "", "", policy.Unfit},
		{"deflate, gzip", "", "", "", policy.Unfit},
		{"deflate", "", "", "", policy.AsItIs},
		{"deflate", "", "", "X, accept-encoding", policy.Unfit},
		{"deflate", "", "", "*", policy.Unfit},
		{"deflate", "deflate", "", "Accept-Encoding", policy.AsItIs},
	} {
		resp := &rfc9111.Response{Status: 200, Header: http.Header{}}
		for name, value := range map[string]string{"Content-Encoding": tt.coding, "Cache-Control": tt.control, "Vary": tt.vary} {
			if value != "" {
				resp.Header.Set(name, value)
			}
		}
		req := &policy.Request{Plan: &policy.Plan{Compress: true}, Header: http.Header{"Accept-Encoding": {keying.AllCodings}}}
		req.Keyed.Accepts = keying.Accept(http.Header{"Accept-Encoding": {tt.accepted}})
		if got := req.Fit(resp); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
		if req.Header.Set("Cache-Control", "no-transform"); tt.want == policy.Decoded && req.Fit(resp) != policy.Unfit {
			t.Errorf("%+v: transformed against the client's will", tt)
		}
		if req.Plan.Compress = false; req.Fit(resp) != policy.AsItIs {
			t.Errorf("%+v: not on this route", tt)
		}
	}
}

// Routes that differ in compress alone have keys that differ in it alone.
func TestCompressIsInTheKeySpec(t *testing.T) {
	table := mustCompile(t, `, "defaults": {"key": {"device": true}}, "routes": [
		{"name": "own", "match": {"path": "/own"}, "compress": false},
		{"name": "a", "match": {"path": "/a"}}, {"name": "b", "match": {"path": "/b"}, "compress": true}]`)
	plans := table.Plans()
	if own := plans[0].Key; own.Recoded || !own.Device {
		t.Errorf("own: %+v", own)
	}
	for _, p := range plans[1:] {
		if !p.Key.Recoded || !p.Key.Device || p.Key != plans[1].Key {
			t.Errorf("%s: %+v", p.Route, p.Key)
		}
	}
}
