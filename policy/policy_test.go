package policy_test

import (
	"net/http"
	"os"
	"testing"

	"weir/policy"
)

func TestFull(t *testing.T) {
	src, err := os.ReadFile("testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	table, err := policy.Compile("full.json", src)
	if err != nil {
		t.Fatal(err)
	}
	plan, params := table.Match(&policy.MatchRequest{Method: "POST", Host: "x", Path: "/graphql", Header: http.Header{}})
	if plan.Route != "graphql" || params != nil || len(plan.Rules.Methods) != 1 {
		t.Fatalf("%+v %v", plan, params)
	}
	t.Log(table.Warnings)
}
