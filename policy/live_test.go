package policy_test

import (
	"strings"
	"sync"
	"testing"

	"weir/policy"
)

func TestReload(t *testing.T) {
	src := []byte(`{"origins": {"app": {"url": "http://127.0.0.1:3000"}}}`)
	first, err := policy.Compile("p", src)
	if err != nil {
		t.Fatal(err)
	}
	live := policy.NewLive(first)

	if changed, err := live.Reload("p", src); changed || err != nil || live.Load() != first {
		t.Errorf("the same file: %v %v", changed, err)
	}
	if changed, err := live.Reload("p", []byte(`{"origins": {}}`)); changed || err == nil || live.Load() != first {
		t.Errorf("a bad file: %v %v", changed, err)
	} else if !strings.HasPrefix(err.Error(), "p:1:13: origins: ") {
		t.Errorf("its error: %v", err)
	}
	if changed, err := live.Reload("p", append(src, '\n')); !changed || err != nil || live.Load() == first || live.Version() == first.Version {
		t.Errorf("another file: %v %v", changed, err)
	}
	if old := live.Swap(first); old == first || live.Load() != first || live.Version() != first.Version {
		t.Error("swap")
	}
}

// TestLiveUnderLoad has readers that must always see one table, whole.
func TestLiveUnderLoad(t *testing.T) {
	sources := [2][]byte{
		[]byte(`{"origins": {"a": {"url": "http://a"}}, "routes": [{"name": "a", "match": {"path": "/x"}}]}`),
		[]byte(`{"origins": {"b": {"url": "http://b"}}, "routes": [{"name": "b", "match": {"path": "/x"}}]}`),
	}
	first, err := policy.Compile("p", sources[0])
	if err != nil {
		t.Fatal(err)
	}
	live := policy.NewLive(first)
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
		if _, err := live.Reload("p", sources[i%2]); err != nil {
			t.Error(err)
		}
	}
	readers.Wait()
}
