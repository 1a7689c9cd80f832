package tiers_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/internal/tiers"
	"weir/keying"
	"weir/l1"
	"weir/l2"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// Damage to the purge log costs the cache, never brings back what was purged, and
// never keeps a node from starting.
func TestDamagedPurgeLog(t *testing.T) {
	base := keying.Digest([]byte("0123456789abcdef"))
	for name, damage := range map[string]func([]byte) []byte{
		"a rule":    func(b []byte) []byte { return bytes.ReplaceAll(b, base[:], []byte("1123456789abcdef")) },
		"cut short": func(b []byte) []byte { return b[:100] },
		"gone":      func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store, err := l2.Open(dir, l2.Options{})
			if err != nil {
				t.Fatal(err)
			}
			purges, err := tiers.OpenPurges(store.Log(), func(err error) { t.Error(err) })
			if err != nil {
				t.Fatal(err)
			}
			old := &rfc9111.Response{Epoch: purges.Current()}
			if _, err := purges.Add(shield.URLRule(base)); err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "rules.db")
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if src = damage(src); src == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, src, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if store, err = l2.Open(dir, l2.Options{}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			reported := 0
			purges, err = tiers.OpenPurges(store.Log(), func(error) { reported++ })
			if err != nil {
				t.Fatal(err)
			}
			if name == "a rule" && reported != 1 {
				t.Errorf("%d reports", reported)
			}
			if !purges.Purged(keying.Key{}, old) {
				t.Error("what may have been purged is reused")
			}
		})
	}
}

// fullLog cannot keep anything.
type fullLog struct{}

func (fullLog) Append(uint64, []byte) error             { return errors.New("no space left") }
func (fullLog) Replay(func(uint64, []byte) error) error { return nil }
func (fullLog) Rewrite(iter.Seq2[uint64, []byte]) error { return errors.New("no space left") }

// nothingBelow is a next tier that must not be needed.
type nothingBelow struct{}

func (nothingBelow) Fetch(context.Context, *policy.Request) (*rfc9111.Answer, error) {
	return nil, errors.New("asked below")
}
func (nothingBelow) Refresh(*policy.Request) {}

// A purge is in force in the memory tier also when it could not be made durable.
func TestPurgeOnAFullDiskReachesMemory(t *testing.T) {
	purges, err := shield.NewPurges(fullLog{})
	if err != nil {
		t.Fatal(err)
	}
	tier, err := l1.New(nothingBelow{}, tiers.InForce{Purges: purges}, l1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tier.Close()
	keyed, err := new(keying.Spec).Build(&keying.Request{Method: "GET", Scheme: "http", Host: "a", Target: "/x"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tier.Filled(keyed.Key, &rfc9111.Response{
		Status: 200, Header: http.Header{}, RequestTime: now, ResponseTime: now, Length: 3,
		Epoch: purges.Current(), Terms: rfc9111.Terms{Lifetime: time.Hour},
	}, []byte("old"))
	req := &policy.Request{Plan: &policy.Plan{}, Method: "GET", Header: http.Header{}, Keyed: keyed}
	if _, err := tier.Fetch(t.Context(), req); err != nil {
		t.Fatalf("before the purge: %v", err)
	}
	if _, err := purges.Add(shield.URLRule(keyed.Key.Base())); err == nil {
		t.Fatal("no error")
	}
	if answer, err := tier.Fetch(t.Context(), req); err == nil {
		t.Errorf("%q is served after the purge", answer.Bytes)
	}
}
