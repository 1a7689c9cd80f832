package simulation_test

import (
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// journal is what a disk keeps of a purge log, and survives the processes that write
// it. What was not synced when one ends is lost, or is not: nobody was promised it.
type journal struct {
	delay  func() time.Duration // of a sync
	told   func(rule []byte)    // of what comes into the log
	random *rand.Rand

	mu      sync.Mutex // guards what follows, and random
	owner   *ledger    // the process that may write
	entries []entry
	pending []entry
}

type entry struct {
	epoch uint64
	rule  []byte
}

// ledger is a shield.Log for one life of a process.
type ledger struct{ *journal }

var errCrashed = errors.New("the process is gone")

// open is the start of a process.
func (j *journal) open() *ledger {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.owner = &ledger{j}
	return j.owner
}

// crash is kill -9.
func (j *journal) crash() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.owner = nil
	for _, e := range j.pending {
		if j.random.IntN(2) == 0 {
			j.entries = append(j.entries, e)
		}
	}
	j.pending = nil
}

func (l *ledger) Append(epoch uint64, rule []byte) error {
	e := entry{epoch, slices.Clone(rule)}
	l.told(rule)
	l.mu.Lock()
	l.pending = append(l.pending, e)
	l.mu.Unlock()
	time.Sleep(l.delay())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner != l {
		return errCrashed
	}
	l.pending = slices.DeleteFunc(l.pending, func(p entry) bool { return p.epoch == epoch })
	l.entries = append(l.entries, e)
	return nil
}

func (l *ledger) Replay(f func(uint64, []byte) error) error {
	l.mu.Lock()
	all := slices.Clone(l.entries)
	l.mu.Unlock()
	for _, e := range all {
		if err := f(e.epoch, e.rule); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) Rewrite(rules iter.Seq2[uint64, []byte]) error {
	time.Sleep(l.delay())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner != l {
		return errCrashed
	}
	l.entries = nil
	for epoch, rule := range rules {
		l.told(rule) // appends that failed before come with the others
		l.entries = append(l.entries, entry{epoch, slices.Clone(rule)})
	}
	return nil
}
