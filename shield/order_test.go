package shield_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weir/keying"
	"weir/shield"
)

func TestOrdersThatAreRefused(t *testing.T) {
	many := slices.Repeat([]string{"t"}, 1001)
	for _, c := range []struct {
		order shield.PurgeOrder
		want  string
	}{
		{shield.PurgeOrder{}, "names nothing"},
		{shield.PurgeOrder{Soft: true, DryRun: true}, "names nothing"},
		{shield.PurgeOrder{All: true, Tags: []string{"x"}}, "all is given together with names"},
		{shield.PurgeOrder{Tags: many}, "1001 names"},
		{shield.PurgeOrder{Tags: many[:600], Keys: many[:600]}, "1200 names"},
		{shield.PurgeOrder{Tags: []string{"ok", ""}}, `tags[1] "": has 0 bytes; a tag has 1 to 256`},
		{shield.PurgeOrder{Tags: []string{strings.Repeat("x", 257)}}, "has 257 bytes"},
		{shield.PurgeOrder{Tags: []string{"a\nb"}}, "control bytes"},
		{shield.PurgeOrder{URLs: []string{""}}, "begins with http:// or https://"},
		{shield.PurgeOrder{URLs: []string{"/x"}}, "begins with http:// or https://"},
		{shield.PurgeOrder{URLs: []string{"ftp://a/"}}, "begins with http:// or https://"},
		{shield.PurgeOrder{URLs: []string{"http:///x"}}, "no valid host"},
		{shield.PurgeOrder{URLs: []string{"http://a,b/"}}, "no valid host"},
		{shield.PurgeOrder{URLs: []string{"http://a:99999/"}}, "no valid host"},
		{shield.PurgeOrder{URLs: []string{"http://u:p@a/"}}, "has a user"},
		{shield.PurgeOrder{URLs: []string{"http://a/x#y"}}, "fragment"},
		{shield.PurgeOrder{URLs: []string{"http://a/x y"}}, "write it as %20"},
		{shield.PurgeOrder{URLs: []string{"http://a/ä"}}, "write it as %C3"},
		{shield.PurgeOrder{URLs: []string{"http://a/" + strings.Repeat("x", 8<<10)}}, "at most 8192"},
		{shield.PurgeOrder{Prefixes: []string{"http://a/", "a/"}}, `prefixes[1] "a/"`},
		{shield.PurgeOrder{Hosts: []string{"http://a"}}, "is no host"},
		{shield.PurgeOrder{Hosts: []string{"*.a"}}, "is no host"},
		{shield.PurgeOrder{Hosts: []string{""}}, "is no host"},
		{shield.PurgeOrder{Keys: []string{"12"}}, "32 hex digits"},
		{shield.PurgeOrder{Keys: []string{strings.Repeat("g", 32)}}, "32 hex digits"},
	} {
		rules, err := shield.Rules(nil, c.order)
		if !errors.Is(err, shield.ErrOrder) || !strings.Contains(fmt.Sprint(err), c.want) || rules != nil {
			t.Errorf("%.60q: %v, want %q", fmt.Sprint(c.order), err, c.want)
		}
	}
}

func TestOrdersNameWhatTheySay(t *testing.T) {
	keyOf := func(scheme, host, target string) keying.Key {
		k, err := new(keying.Spec).Build(&keying.Request{Method: "GET", Scheme: scheme, Host: host, Target: target})
		if err != nil {
			t.Fatal(err)
		}
		return k.Key
	}
	slashX := keyOf("http", "a", "/x?q=1")
	own := slashX.Digest()
	for _, c := range []struct {
		name  string
		order shield.PurgeOrder
		key   keying.Key
		want  bool
	}{
		{"a URL", shield.PurgeOrder{URLs: []string{"HTTP://A.:80/x?q=1"}}, slashX, true},
		{"a URL without its query", shield.PurgeOrder{URLs: []string{"http://a/x"}}, slashX, false},
		{"another scheme", shield.PurgeOrder{URLs: []string{"https://a/x?q=1"}}, slashX, false},
		{"a URL without a path", shield.PurgeOrder{URLs: []string{"http://a?q=1"}}, keyOf("http", "a", "/?q=1"), true},
		{"a piece of a URL", shield.PurgeOrder{URLs: []string{"http://a/x?q=1"}}, slashX.Part("slice"), true},
		{"a prefix", shield.PurgeOrder{Prefixes: []string{"http://a/x?"}}, slashX, true},
		{"a prefix without a path", shield.PurgeOrder{Prefixes: []string{"http://a"}}, slashX, true},
		{"a prefix of a host", shield.PurgeOrder{Prefixes: []string{"http://a"}}, keyOf("http", "ab", "/"), false},
		{"a prefix that is longer", shield.PurgeOrder{Prefixes: []string{"http://a/x?q=12"}}, slashX, false},
		{"a host", shield.PurgeOrder{Hosts: []string{"A."}}, slashX, true},
		{"a host and its scheme", shield.PurgeOrder{Hosts: []string{"a:443"}}, keyOf("https", "a", "/"), true},
		{"a host of another port", shield.PurgeOrder{Hosts: []string{"a:81"}}, slashX, false},
		{"a key", shield.PurgeOrder{Keys: []string{fmt.Sprintf("%x", own)}}, slashX, true},
		{"a key in upper case", shield.PurgeOrder{Keys: []string{fmt.Sprintf("%X", own)}}, slashX, true},
		{"a piece of a key", shield.PurgeOrder{Keys: []string{fmt.Sprintf("%x", own)}}, slashX.Part("slice"), true},
		{"another key", shield.PurgeOrder{Keys: []string{fmt.Sprintf("%x", own)}}, keyOf("http", "a", "/x"), false},
		{"everything", shield.PurgeOrder{All: true}, slashX, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := leaderOf(t, nil)
			rules, err := shield.Rules(nil, c.order)
			if err != nil {
				t.Fatal(err)
			}
			add(t, p, rules...)
			if got := purged(p, c.key, 0); got != c.want {
				t.Errorf("purged: %v", got)
			}
			c.order.Soft = true
			soft := leaderOf(t, nil)
			if rules, err = shield.Rules(nil, c.order); err != nil {
				t.Fatal(err)
			}
			add(t, soft, rules...)
			if got := soft.Softened(c.key, grouped(0, nil, nil)); got != c.want || purged(soft, c.key, 0) {
				t.Errorf("softened: %v", got)
			}
		})
	}
}

// A URL is named under every key that routes may split it into.
func TestURLsOfSplitKeys(t *testing.T) {
	table := compile(t, `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"}, "routes": [
		{"name": "list", "match": {"path": "/list"}, "key": {"excludeAllQueryParametersExcept": ["page"]}}]}`)
	listed := &keying.Spec{Query: keying.QueryOnly, Names: []string{"page"}}
	keyed, err := listed.Build(&keying.Request{Method: "GET", Scheme: "http", Host: "a", Target: "/list?utm=1&page=2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range []shield.PurgeOrder{
		{URLs: []string{"http://a/list?utm=7&page=2"}},
		{Prefixes: []string{"http://a/list?utm=7&page"}},
	} {
		p := leaderOf(t, nil)
		rules, err := shield.Rules(table, order)
		if err != nil {
			t.Fatal(err)
		}
		add(t, p, rules...)
		if !purged(p, keyed.Key, 0) {
			t.Errorf("%v does not reach what is stored without parts of the query", order)
		}
	}
}
