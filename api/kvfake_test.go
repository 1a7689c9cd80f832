package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"weir/kv"
)

// fakeStore keeps values in memory, by the contract of kv.Store.
type fakeStore struct {
	now func() time.Time

	mu      sync.Mutex
	values  map[string]*kv.Value
	version uint64
	fails   error // what every call ends with
	calls   int
	lastSet kv.Condition
}

func newFakeStore(now func() time.Time) *fakeStore {
	return &fakeStore{now: now, values: map[string]*kv.Value{}}
}

func (s *fakeStore) begin(key string) (*kv.Value, error) {
	s.calls++
	switch v := s.values[key]; {
	case s.fails != nil:
		return nil, s.fails
	case key == "" || len(key) > kv.MaxKey:
		return nil, fmt.Errorf("%w: it has %d bytes", kv.ErrKey, len(key))
	case v == nil || !v.Until.IsZero() && !s.now().Before(v.Until):
		return nil, kv.ErrMissing
	default:
		return v, nil
	}
}

// count is how often the store was asked.
func (s *fakeStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *fakeStore) Get(_ context.Context, key string) (*kv.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begin(key)
}

func (s *fakeStore) GetMany(ctx context.Context, keys []string, limit int) ([]*kv.Value, error) {
	values, total := make([]*kv.Value, len(keys)), 0
	for i, key := range keys {
		v, err := s.Get(ctx, key)
		if err != nil && !errors.Is(err, kv.ErrMissing) {
			return nil, err
		}
		if v != nil {
			total += len(v.Bytes)
		}
		values[i] = v
	}
	if total > limit {
		return nil, kv.ErrTooMuch
	}
	return values, nil
}

func (s *fakeStore) Set(_ context.Context, key string, d kv.Draft, c kv.Condition) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastSet = c
	old, err := s.begin(key)
	switch {
	case err != nil && !errors.Is(err, kv.ErrMissing):
		return 0, err
	case len(d.Bytes) > kv.MaxValue || d.Metadata != nil && !json.Valid(d.Metadata) || len(d.Metadata) > kv.MaxMetadata:
		return 0, fmt.Errorf("%w: it breaks a limit", kv.ErrInvalid)
	case !holds(c, old):
		return 0, kv.ErrCondition
	}
	return s.put(key, &kv.Value{Bytes: d.Bytes, Type: d.Type, Metadata: d.Metadata, Tags: d.Tags}, d.TTL, d.Stale), nil
}

func holds(c kv.Condition, old *kv.Value) bool {
	return !(c.Absent && old != nil || c.Present && old == nil || c.Version != 0 && (old == nil || old.Version != c.Version))
}

func (s *fakeStore) put(key string, v *kv.Value, ttl, stale time.Duration) uint64 {
	s.version++
	v.Version, v.Written, v.Epoch = s.version, s.now(), 100+s.version
	if ttl > 0 {
		v.Fresh = v.Written.Add(ttl)
		v.Until = v.Fresh.Add(stale)
	}
	s.values[key] = v
	return s.version
}

func (s *fakeStore) Delete(_ context.Context, key string, c kv.Condition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.begin(key)
	switch {
	case err != nil:
		return err
	case !holds(c, old):
		return kv.ErrCondition
	}
	delete(s.values, key)
	return nil
}

func (s *fakeStore) Incr(_ context.Context, key string, i kv.Increment) (kv.Count, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.begin(key)
	if errors.Is(err, kv.ErrMissing) {
		version := s.put(key, &kv.Value{Bytes: strconv.AppendInt(nil, i.By, 10)}, i.TTL, 0)
		return kv.Count{Number: i.By, Version: version, Fresh: s.values[key].Fresh}, nil
	}
	if err != nil {
		return kv.Count{}, err
	}
	n, err := strconv.ParseInt(string(old.Bytes), 10, 64)
	switch {
	case err != nil:
		return kv.Count{}, kv.ErrNotNumber
	case i.By > 0 && n > math.MaxInt64-i.By || i.By < 0 && n < math.MinInt64-i.By:
		return kv.Count{}, kv.ErrOverflow
	}
	s.version++
	next := *old
	next.Bytes, next.Version = strconv.AppendInt(nil, n+i.By, 10), s.version
	s.values[key] = &next
	return kv.Count{Number: n + i.By, Version: s.version, Fresh: next.Fresh}, nil
}

// len is how many values there are.
func (s *fakeStore) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}
