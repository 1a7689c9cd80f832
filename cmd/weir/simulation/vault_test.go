package simulation_test

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"time"
)

// vault is what a disk keeps of values, and survives the processes that write it. Changes
// become durable in their order; of those that were not when a process ends some are.
type vault struct {
	delay  func() time.Duration // of a sync
	random *rand.Rand

	mu      sync.Mutex // guards what follows, and random
	owner   *shelf     // the process that may write
	durable map[string][]byte
	number  uint64
}

// shelf is a kv.Disk for one life of a process.
type shelf struct {
	*vault
	latest  map[string][]byte // of what is not durable yet; nil: nothing
	pending []*deposit        // in order
}

type deposit struct {
	key    string
	record []byte // nil: none
	done   bool
}

// open is the start of a process.
func (v *vault) open() *shelf {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.owner = &shelf{vault: v, latest: make(map[string][]byte)}
	return v.owner
}

// crash is kill -9.
func (v *vault) crash() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.owner; s != nil && len(s.pending) > 0 {
		s.settleLocked(s.pending[v.random.IntN(len(s.pending))])
	}
	v.owner = nil
}

// settleLocked makes all durable up to one.
func (s *shelf) settleLocked(last *deposit) {
	for !last.done {
		d := s.pending[0]
		s.pending, d.done = s.pending[1:], true
		if d.record == nil {
			delete(s.durable, d.key)
		} else {
			s.durable[d.key] = d.record
		}
	}
}

func (s *shelf) Read(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.durable[key]), nil
}

func (s *shelf) Update(key string, change func([]byte, uint64) ([]byte, time.Time, error)) error {
	d, err := s.deposit(key, change)
	if err != nil {
		return err
	}
	time.Sleep(s.delay())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != s {
		return errCrashed
	}
	s.settleLocked(d)
	return nil
}

func (s *shelf) deposit(key string, change func([]byte, uint64) ([]byte, time.Time, error)) (*deposit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != s {
		return nil, errCrashed
	}
	old, ok := s.latest[key]
	if !ok {
		old = s.durable[key]
	}
	s.number++
	record, _, err := change(bytes.Clone(old), s.number)
	if err != nil {
		return nil, err
	}
	s.latest[key] = record
	d := &deposit{key: key, record: record}
	s.pending = append(s.pending, d)
	return d, nil
}
