package policy_test

import (
	"slices"
	"testing"
	"time"

	"weir/policy"
)

func TestKeepingUp(t *testing.T) {
	for _, tt := range []struct {
		extra    string
		purge    policy.Purge
		fallback bool
	}{
		{``, policy.Purge{MaxBlind: 5 * time.Second}, true},
		{`, "purge": {}, "shield": {}`, policy.Purge{MaxBlind: 5 * time.Second}, true},
		{`, "purge": {"maxBlindSeconds": 0}`, policy.Purge{}, true},
		{`, "purge": {"maxBlindSeconds": 0.5, "onPartition": "serve"}`, policy.Purge{MaxBlind: time.Second / 2, OnPartition: policy.PartitionServe}, true},
		{`, "purge": {"onPartition": "revalidate"}, "shield": {"fallback": "origin"}`, policy.Purge{MaxBlind: 5 * time.Second}, true},
		{`, "shield": {"fallback": "none"}`, policy.Purge{MaxBlind: 5 * time.Second}, false},
	} {
		table := mustCompile(t, tt.extra)
		if table.Purge != tt.purge || table.Fallback != tt.fallback {
			t.Errorf("%s: %+v, fallback %t; want %+v, %t", tt.extra, table.Purge, table.Fallback, tt.purge, tt.fallback)
		}
	}
}

func TestRegionsAreInherited(t *testing.T) {
	table := mustCompile(t, `, "defaults": {"regions": ["fra"]}, "routes": [
		{"name": "inherits", "match": {"path": "/a"}},
		{"name": "own", "match": {"path": "/b"}, "regions": ["lhr", "ams"]},
		{"name": "all", "match": {"path": "/c"}, "regions": null}]`)
	for i, want := range [][]string{{"fra"}, {"lhr", "ams"}, nil, {"fra"}} {
		if plan := table.Plans()[i]; !slices.Equal(plan.Regions, want) {
			t.Errorf("%s: %q, want %q", plan.Route, plan.Regions, want)
		}
	}
}
