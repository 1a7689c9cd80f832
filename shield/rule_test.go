package shield_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

var everyRule = []shield.Rule{
	shield.AllRule(), shield.TagRule("t"), shield.URLRule(keying.Digest{1}), shield.KeyRule(keying.Digest{2}),
	shield.HostRule("a"), shield.PrefixRule("http://a/x"), shield.PrefixRule("https://a:81"), shield.GroupRule("http", "a", "g"),
	parsed("v0123456789abcdef"), parsed("w01"), parsed("x"), parsed("y"),
}

// parsed is a rule that only logs have.
func parsed(src string) shield.Rule {
	r, err := shield.ParseRule([]byte(src))
	if err != nil {
		panic(err)
	}
	return r
}

// The bytes of rules are on disks: they never change.
func TestRulesOnDisk(t *testing.T) {
	for src, want := range map[string]shield.Rule{
		"a":                               shield.AllRule(),
		"A":                               shield.AllRule().Soft(),
		"u0123456789abcdef":               shield.URLRule(keying.Digest([]byte("0123456789abcdef"))),
		"U0123456789abcdef":               shield.URLRule(keying.Digest([]byte("0123456789abcdef"))).Soft(),
		"k0123456789abcdef":               shield.KeyRule(keying.Digest([]byte("0123456789abcdef"))),
		"p\x01\x01\x04http\x02\x01a/x":    shield.PrefixRule("http://a/x"),
		"P\x01\x01\x05https\x02\x04a:81/": shield.PrefixRule("https://a:81").Soft(),
		"v0123456789abcdef":               parsed("v0123456789abcdef"),
		"wxy":                             parsed("wxy"),
		"x":                               parsed("x"),
		"y":                               parsed("y"),
		"V0123456789abcdef":               {},
		"Wxy":                             {},
		"X":                               {},
		"Y":                               {},
		"xx":                              {},
		"v":                               {},
		"n\x9b\xb1\x86\x85":               {},
		"i0123456789abcdef":               {},
		"q":                               {},
		"p\x01\x01\x04http\x02\x01ax":     {},
		"p\x01\x01\x04http":               {},
		"p" + strings.Repeat("x", 20<<10): {},
		"\x15123456789abcdef0":            {},
		"":                                {},
		"a ":                              {},
		"h0123456789abcde":                {},
	} {
		got, err := shield.ParseRule([]byte(src))
		if known := want != (shield.Rule{}); got != want || known != (err == nil) || !known && !errors.Is(err, shield.ErrLog) {
			t.Errorf("%.40q: %v, %v", src, got, err)
		} else if known && string(got.Encode()) != src {
			t.Errorf("%q comes back as %q", src, got.Encode())
		}
	}
}

func FuzzParseRule(f *testing.F) {
	for _, r := range everyRule {
		f.Add(r.Encode())
		f.Add(r.Soft().Encode())
	}
	key, tags := keying.Key{}, []string{"t"}
	f.Fuzz(func(t *testing.T, src []byte) {
		r, err := shield.ParseRule(src)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Encode(), src) {
			t.Errorf("%q comes back as %q", src, r.Encode())
		}
		p, err := shield.NewPurges(nil)
		if err != nil {
			t.Fatal(err)
		}
		epoch, err := p.Add(r)
		if err != nil {
			t.Fatal(err)
		}
		p.Purged(key, &rfc9111.Response{})
		p.Softened(key, &rfc9111.Response{})
		if p.Outdated("k", tags, 0) && p.StaleTags(tags, 0) {
			t.Error("one rule is both hard and soft")
		}
		if p.Purged(key, &rfc9111.Response{Epoch: epoch}) || p.Outdated("k", tags, epoch) || p.StaleTags(tags, epoch) {
			t.Error("a rule purges what came after it")
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	b := shield.Batch{Log: shield.LogID{1}, After: 3, Epoch: 300}
	for i, r := range everyRule {
		b.Rules = append(b.Rules, shield.DatedRule{Epoch: uint64(4 + 40*i), Rule: r})
	}
	f.Add(b.Encode())
	b.Reset, b.Of = true, shield.LogID{2}
	f.Add(b.Encode())
	f.Add((&shield.Batch{}).Encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		b, err := shield.DecodeBatch(src)
		if err != nil {
			if !errors.Is(err, shield.ErrBatch) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := shield.DecodeBatch(b.Encode())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(b) {
			t.Errorf("%v comes back as %v: %v", b, again, err)
		}
		p := shield.NewFollower()
		p.Apply(b)
		if b.Reset && b.Of == (shield.LogID{}) && b.After == 0 && p.Current() != b.Epoch {
			t.Errorf("a follower is at %d", p.Current())
		}
	})
}

// More prefixes than there is room for become their hosts, in the log too: a purge is
// rather too wide than forgotten.
func TestPrefixesAreBounded(t *testing.T) {
	log := new(memoryLog)
	p := leaderOf(t, log)
	before := p.Current()
	path := ""
	for range 200 { // each of a length of its own
		path += "/x"
		add(t, p, shield.PrefixRule("http://a"+path))
	}
	for i := range 10_000 {
		add(t, p, shield.PrefixRule(fmt.Sprintf("http://b/%05d", i)))
	}
	if p.Len() > 1<<12+1<<7 {
		t.Errorf("%d rules", p.Len())
	}
	last := p.Current()
	for name, q := range map[string]*shield.Purges{"running": p, "replayed": leaderOf(t, log)} {
		a, b, c := keyOn(t, "http", "a"), keyOn(t, "http", "b"), keyOn(t, "http", "c")
		if !purged(q, a, before) || !purged(q, b, before) || purged(q, c, before) || purged(q, a, last) {
			t.Errorf("%s: the hosts are not purged, or others are", name)
		}
	}
}

// response is what a hit looks up, with two tags.
func response(epoch uint64) *rfc9111.Response {
	return &rfc9111.Response{Epoch: epoch, Tags: []string{"product:1", "products"}}
}

func TestPurgedAllocatesNothing(t *testing.T) {
	p := leaderOf(t, nil)
	for _, r := range everyRule[1:] {
		add(t, p, r)
	}
	key, resp := keyOn(t, "http", "b"), response(0)
	if n := testing.AllocsPerRun(100, func() {
		if p.Purged(key, resp) || p.Softened(key, resp) {
			t.Error("purged")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkPurged asks for an object that is older than every rule and in none, which is
// the dearest case: a tier in memory asks so once for each object and purge.
func BenchmarkPurged(b *testing.B) {
	key := keyOnBench(b)
	for _, n := range []int{0, 1, 100_000} {
		p := leaderOf(b, nil)
		for i := range n {
			add(b, p, shield.TagRule(fmt.Sprint("tag", i)))
		}
		for name, epoch := range map[string]uint64{"older": 0, "newer": uint64(n)} {
			resp := response(epoch)
			b.Run(fmt.Sprintf("rules=%d/%s", n, name), func(b *testing.B) {
				for b.Loop() {
					if p.Purged(key, resp) {
						b.Fatal("purged")
					}
				}
			})
		}
	}
}

// BenchmarkAdd is a purge of a tag: it costs the same whatever has the tag.
func BenchmarkAdd(b *testing.B) {
	p := leaderOf(b, nil)
	for i := 0; b.Loop(); i++ {
		add(b, p, shield.TagRule("tag"))
	}
}

func keyOnBench(b *testing.B) keying.Key {
	k, err := new(keying.Spec).Build(&keying.Request{Method: "GET", Scheme: "http", Host: "b", Target: "/products/1"})
	if err != nil {
		b.Fatal(err)
	}
	return k.Key
}
