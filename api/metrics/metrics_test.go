package metrics_test

import (
	"net/http/httptest"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"weir/api"
	"weir/api/metrics"
	"weir/api/peer"
	"weir/l1"
	"weir/l2"
	"weir/rfc9111"
	"weir/shield"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scrape reads the metrics of src as Prometheus does.
func scrape(t *testing.T, src metrics.Sources) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler(src).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func full() metrics.Sources {
	return metrics.Sources{
		Region: "fra",
		Door: func() api.DoorStats {
			return api.DoorStats{
				Active: 3, Aborted: 1,
				Requests: []api.RequestCount{
					{Route: "product", Use: rfc9111.Hit, Class: "2xx", Count: 7},
					{Route: "odd \"name\"\n", Use: rfc9111.Bypass, Class: "4xx", Count: 2},
				},
				Reasons:   map[rfc9111.CachingStatus]uint64{rfc9111.StatusOK: 7},
				Durations: map[rfc9111.Use]api.Histogram{rfc9111.Hit: {Bounds: []float64{.1, 1}, Counts: []uint64{4, 2, 1}, Sum: 3.5}},
			}
		},
		L1: func() l1.Stats { return l1.Stats{Hits: 5, Bytes: 100, Objects: 2} },
		L2: func() l2.Stats { return l2.Stats{Hits: 6, Bytes: 200, Damaged: 1, Stalled: true} },
		Shield: func() shield.Stats {
			return shield.Stats{
				Flights: 4, Waiters: 9, Errors: shield.Errors{Timeout: 2},
				Upstreams: []shield.UpstreamState{{Origin: "shop", URL: "http://127.0.0.1:3000", Up: true, Requests: 11}},
			}
		},
		Nodes: func() metrics.NodeStats {
			return metrics.NodeStats{
				Epoch: 41, Purges: map[string]uint64{"tag": 3},
				Regions: []api.RegionState{
					{Region: "lhr", Node: "a", Connected: true, Epoch: 41}, {Region: "lhr", Node: "b", Connected: true, Epoch: 38}, {Region: "nrt"},
				},
				Parent: &peer.Stats{Stream: true, CatchUps: 4, Silence: 2},
			}
		},
		Values: func() metrics.ValuesStats {
			return metrics.ValuesStats{Pushes: &metrics.PushStats{Sent: 8, Dropped: 3}}
		},
		Policy: func() metrics.PolicyStats { return metrics.PolicyStats{Version: "abc", Accepted: 1, Rejected: 2} },
	}
}

func TestMetrics(t *testing.T) {
	families := scrape(t, full())
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   float64
	}{
		{"weir_requests_total", map[string]string{"use": "hit", "route": "product", "class": "2xx", "region": "fra"}, 7},
		{"weir_requests_total", map[string]string{"use": "bypass", "route": "odd \"name\"\n"}, 2},
		{"weir_caching_status_total", map[string]string{"status": "ok"}, 7},
		{"weir_requests_active", nil, 3},
		{"weir_responses_aborted_total", nil, 1},
		{"weir_tier_bytes", map[string]string{"tier": "l1"}, 100},
		{"weir_tier_bytes", map[string]string{"tier": "l2"}, 200},
		{"weir_tier_lookups_total", map[string]string{"tier": "l2", "result": "hit"}, 6},
		{"weir_l2_damaged_total", nil, 1},
		{"weir_l2_stalled", nil, 1},
		{"weir_purge_epoch", nil, 41},
		{"weir_purges_total", map[string]string{"kind": "tag"}, 3},
		{"weir_followers", map[string]string{"follower": "lhr"}, 2},
		{"weir_followers", map[string]string{"follower": "nrt"}, 0},
		{"weir_follower_lag_epochs", map[string]string{"follower": "lhr"}, 3},
		{"weir_shield_stream_up", nil, 1},
		{"weir_shield_silence_seconds", nil, 2},
		{"weir_purge_catchups_total", nil, 4},
		{"weir_values_pushes_total", map[string]string{"result": "sent"}, 8},
		{"weir_values_pushes_total", map[string]string{"result": "dropped"}, 3},
		{"weir_flights", nil, 4},
		{"weir_flight_waiters", nil, 9},
		{"weir_origin_requests_total", map[string]string{"origin": "shop", "upstream": "http://127.0.0.1:3000"}, 11},
		{"weir_origin_up", map[string]string{"origin": "shop"}, 1},
		{"weir_origin_errors_total", map[string]string{"outcome": "timeout"}, 2},
		{"weir_policy_reloads_total", map[string]string{"result": "rejected"}, 2},
		{"weir_policy_info", map[string]string{"version": "abc"}, 1},
	} {
		if got, ok := value(families[c.name], c.labels); !ok || got != c.want {
			t.Errorf("%s%v is %v (%v), want %v", c.name, c.labels, got, ok, c.want)
		}
	}
	if families["go_goroutines"] == nil {
		t.Error("nothing about the Go runtime")
	}
	h := families["weir_request_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 7 || h.GetSampleSum() != 3.5 || h.GetBucket()[1].GetCumulativeCount() != 6 {
		t.Errorf("durations %v", h)
	}
}

// value finds the sample with all of labels.
func value(f *dto.MetricFamily, labels map[string]string) (float64, bool) {
	for _, m := range f.GetMetric() {
		found := 0
		for _, l := range m.GetLabel() {
			if labels[l.GetName()] == l.GetValue() && l.GetValue() != "" {
				found++
			}
		}
		if found == len(labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}

// A node without a tier shows nothing of it.
func TestMissingTiers(t *testing.T) {
	families := scrape(t, metrics.Sources{})
	for name := range families {
		if len(name) > 5 && name[:5] == "weir_" {
			t.Errorf("%s without a source", name)
		}
	}
}

// What a dashboard knows does not change its name or kind: a counter ends in
// _total, and nothing else does.
func TestNames(t *testing.T) {
	for name, f := range scrape(t, full()) {
		if name[:3] != "wei" {
			continue
		}
		total := len(name) > 6 && name[len(name)-6:] == "_total"
		if total != (f.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s is a %v", name, f.GetType())
		}
		if f.GetHelp() == "" {
			t.Errorf("%s is without help", name)
		}
	}
}
