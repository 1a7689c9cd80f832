package kv_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/kv"
)

// disk keeps records in memory, as a durable one would.
type disk struct {
	mu      sync.Mutex
	records map[string][]byte
	number  uint64
	fail    error         // of Read and Update
	gate    chan struct{} // Update waits for it before it is durable, when there is one
}

func newDisk() *disk { return &disk{records: make(map[string][]byte)} }

func (d *disk) Read(key string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.records[key]), d.fail
}

func (d *disk) Update(key string, change func([]byte, uint64) ([]byte, time.Time, error)) error {
	if d.gate != nil {
		<-d.gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	d.number++
	old := bytes.Clone(d.records[key])
	record, _, err := change(old, d.number)
	clear(old) // it is not the caller's any more
	switch {
	case err != nil:
		return err
	case record == nil:
		delete(d.records, key)
	default:
		d.records[key] = bytes.Clone(record)
	}
	return nil
}

// ruleLog is a purge log that forgets nothing. Followers are other ruleLogs that have
// come to an earlier epoch.
type ruleLog struct {
	mu    sync.Mutex
	rules []ruleOf // that of epoch n+1 at n
	of    *ruleLog // a follower's; nil for the log itself
	at    uint64   // of a follower
	fail  error    // of Wrote, when the rule is in force
	lost  error    // of Wrote, when it never will be

	announced map[string]bool

	gate chan struct{} // Wrote waits for it before anything is in force, when there is one
}

type ruleOf struct {
	key, tag string // both empty: all values
	soft     bool
}

func (l *ruleLog) follower() *ruleLog { return &ruleLog{of: l} }

// catchUp brings a follower some of what it lacks, all with n < 0.
func (l *ruleLog) catchUp(n int) {
	all := l.of.Current()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at = min(all, l.at+uint64(n)); n < 0 {
		l.at = all
	}
}

func (l *ruleLog) Current() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of != nil {
		return l.at
	}
	return uint64(len(l.rules))
}

func (l *ruleLog) add(rules ...ruleOf) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules = append(l.rules, rules...)
	return uint64(len(l.rules))
}

func (l *ruleLog) Wrote(keys ...string) (uint64, error) {
	if l.gate != nil {
		<-l.gate
	}
	if l.lost != nil {
		return 0, l.lost
	}
	if len(keys) == 0 {
		keys = []string{""}
	}
	epoch := uint64(0)
	for _, key := range keys {
		epoch = l.add(ruleOf{key: key})
	}
	return epoch, l.fail
}

func (l *ruleLog) Announce(key string) (uint64, error) {
	epoch, err := l.Wrote(key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.announced == nil {
		l.announced = make(map[string]bool)
	}
	l.announced[key] = true
	return epoch, err
}

func (l *ruleLog) after(epoch uint64) []ruleOf {
	to := l.Current()
	if l.of != nil {
		l = l.of
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.rules[min(epoch, to):to])
}

func (l *ruleLog) Outdated(key string, tags []string, epoch uint64) bool {
	return slices.ContainsFunc(l.after(epoch), func(r ruleOf) bool {
		if r.tag != "" {
			return !r.soft && slices.Contains(tags, r.tag)
		}
		return key != "" && (r.key == "" || r.key == key)
	})
}

func (l *ruleLog) StaleTags(tags []string, epoch uint64) bool {
	return slices.ContainsFunc(l.after(epoch), func(r ruleOf) bool { return r.soft && slices.Contains(tags, r.tag) })
}

// memory remembers everything, or nothing.
type memory struct {
	m       sync.Map
	forgets bool
}

func (m *memory) Get(key string) (any, bool)  { return m.m.Load(key) }
func (m *memory) Peek(key string) (any, bool) { return m.m.Load(key) }
func (m *memory) Delete(key string)           { m.m.Delete(key) }
func (m *memory) Replace(key string, v any, bytes int64) {
	if _, ok := m.m.Load(key); ok {
		m.Put(key, v, bytes)
	}
}

func (m *memory) Put(key string, v any, _ int64) {
	if !m.forgets {
		m.m.Store(key, v)
	}
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// place is a keeper with what it needs.
type place struct {
	*kv.Keeper
	disk  *disk
	log   *ruleLog
	clock *clock
}

func newPlace(t testing.TB) *place {
	t.Helper()
	p := &place{disk: newDisk(), log: new(ruleLog), clock: newClock()}
	p.open(t)
	return p
}

func (p *place) open(t testing.TB) {
	t.Helper()
	var err error
	if p.Keeper, err = kv.NewKeeper(p.disk, p.log, kv.KeeperOptions{Now: p.clock.time}); err != nil {
		t.Fatal(err)
	}
}

func set(t testing.TB, s kv.Store, key string, d kv.Draft) uint64 {
	t.Helper()
	version, err := s.Set(t.Context(), key, d, kv.Condition{})
	if err != nil {
		t.Fatalf("set %q: %v", key, err)
	}
	return version
}

// wantText checks what is under a key; "" is nothing.
func wantText(t testing.TB, s kv.Store, key, want string) {
	t.Helper()
	v, err := s.Get(t.Context(), key)
	switch {
	case want == "":
		if !errors.Is(err, kv.ErrMissing) || v != nil {
			t.Errorf("%q holds %v (%v), want nothing", key, v, err)
		}
	case err != nil:
		t.Errorf("%q: %v, want %q", key, err, want)
	case string(v.Bytes) != want:
		t.Errorf("%q holds %q, want %q", key, v.Bytes, want)
	}
}

func text(s string) kv.Draft { return kv.Draft{Bytes: []byte(s)} }
