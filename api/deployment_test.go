package api_test

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"weir/api"
	"weir/policy"
)

// A tier is told of a deployment that settles only for requests whose responses are
// the deployment's own, and every line of the log names the deployment.
func TestSettlingRequests(t *testing.T) {
	table, err := policy.Compile("test", []byte(`{"origins": {"o": {"url": "http://o.test"}}, "deployment": "v7", "isolate": true, "routes": [
		{"name": "assets", "match": {"path": "/assets/*"}, "permanent": true},
		{"name": "admin", "match": {"path": "/admin"}, "edge": false}]}`))
	if err != nil {
		t.Fatal(err)
	}
	settling := true
	core, lines := observer.New(zap.InfoLevel)
	s := always(ok)
	d := api.NewDoor(s, func() *policy.Table { return table }, api.DoorOptions{
		Log: zap.New(core),
		Settling: func(asked *policy.Table, _ time.Time) bool {
			if asked != table {
				t.Error("asked about another table")
			}
			return settling
		},
	})
	defer d.Close()
	for _, c := range []struct {
		target string
		want   bool
	}{{"/", true}, {"/assets/x", false}} {
		for _, settling = range []bool{true, false} {
			ask(t, d, "GET "+c.target)
			all := s.requests()
			if got := all[len(all)-1].Settling; got != (c.want && settling) {
				t.Errorf("%s is settling: %v", c.target, got)
			}
		}
	}
	for _, line := range lines.All() {
		if line.ContextMap()["deployment"] != "v7" {
			t.Errorf("%v", line.ContextMap())
		}
	}
}
