package policy_test

import (
	"sync"
	"testing"
	"time"

	"weir/policy"
)

// TestLiveUnderLoad has readers that must always see one table, whole.
func TestLiveUnderLoad(t *testing.T) {
	sources := [2][]byte{
		[]byte(`{"origins": {"a": {"url": "http://a"}}, "routes": [{"name": "a", "match": {"path": "/x"}}]}`),
		[]byte(`{"origins": {"b": {"url": "http://b"}}, "routes": [{"name": "b", "match": {"path": "/x"}}]}`),
	}
	var tables [2]*policy.Table
	for i, src := range sources {
		var err error
		if tables[i], err = policy.Compile("p", src); err != nil {
			t.Fatal(err)
		}
	}
	live := policy.NewLive(tables[0])
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 500 {
				table := live.Load()
				plan, _ := table.Match(get("/x"))
				if plan.Table != table || plan.Route != plan.Origin || table.Origins[plan.Origin] == nil {
					t.Errorf("a mixture: %s of %s", plan.Route, plan.Origin)
				}
			}
		})
	}
	for i := range 100 {
		live.Swap(tables[i%2], time.Time{})
	}
	readers.Wait()
	if live.Load() != tables[1] {
		t.Error("not the last one")
	}
}
