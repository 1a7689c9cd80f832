package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"
)

// KeeperOptions are optional parts of a [Keeper].
type KeeperOptions struct {
	Now func() time.Time // nil: time.Now

	// Unwritten says that there are no values, and that log knows of none: nobody need forget any.
	Unwritten bool
}

// Keeper is the [Store] that has the values: on disk, every write in order.
type Keeper struct {
	disk Disk
	log  Log
	now  func() time.Time

	mu      sync.Mutex     // guards what follows
	writing map[string]int // writes of keys that the log has not heard of yet
}

// NewKeeper returns the keeper of what is on disk. It tells everybody to forget what they
// remember: a process that ended between disk and log has told nobody of its last write.
func NewKeeper(disk Disk, log Log, o KeeperOptions) (*Keeper, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if !o.Unwritten {
		if _, err := log.Wrote(); err != nil {
			return nil, fmt.Errorf("kv: tell the log that values may have changed: %w", err)
		}
	}
	return &Keeper{disk: disk, log: log, now: o.Now, writing: make(map[string]int)}, nil
}

// Get reads the disk.
func (k *Keeper) Get(ctx context.Context, key string) (*Value, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	epoch := k.log.Current() // before the disk is read: a write from here on counts as later
	src, err := k.disk.Read(key)
	if err != nil {
		return nil, fmt.Errorf("%w: read %.80q: %w", ErrDisk, key, err)
	}
	now := k.now()
	r, err := k.present(key, src, now)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, ErrMissing
	}
	v := &r.Value
	if k.log.StaleTags(v.Tags, v.Epoch) {
		v.goStale(now)
	}
	v.Epoch = epoch
	return v, nil
}

// GetMany reads the disk.
func (k *Keeper) GetMany(ctx context.Context, keys []string, limit int) ([]*Value, error) {
	if err := CheckKeys(keys); err != nil {
		return nil, err
	}
	values, total := make([]*Value, len(keys)), 0
	for i, key := range keys {
		v, err := k.Get(ctx, key)
		switch {
		case errors.Is(err, ErrMissing):
			continue
		case err != nil:
			return nil, err
		}
		if total += len(v.Bytes); total > min(limit, MaxManyBytes) {
			return nil, ErrTooMuch
		}
		values[i] = v
	}
	return values, nil
}

// Set is durable when it returns.
func (k *Keeper) Set(ctx context.Context, key string, d Draft, c Condition) (version uint64, err error) {
	if err := cmp.Or(CheckKey(key), d.Check(), c.Check()); err != nil {
		return 0, err
	}
	err = k.update(ctx, key, func(old []byte, number uint64, now time.Time) (*record, error) {
		if c != (Condition{}) { // else it does not matter whether what is there can be read
			r, err := k.present(key, old, now)
			if err != nil {
				return nil, err
			}
			if !c.holds(r) || k.changedSince(c.Since, key, d.Tags) {
				return nil, ErrCondition
			}
		}
		version = number
		r := &record{Value{
			Bytes: d.Bytes, Type: d.Type, Metadata: compact(d.Metadata), Tags: d.Tags,
			Version: number, Written: now, Epoch: k.log.Current(),
		}}
		r.live(d.TTL, d.Stale)
		return r, nil
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// Delete is durable when it returns.
func (k *Keeper) Delete(ctx context.Context, key string, c Condition) error {
	if err := cmp.Or(CheckKey(key), c.Check()); err != nil {
		return err
	}
	return k.update(ctx, key, func(old []byte, _ uint64, now time.Time) (*record, error) {
		switch r, err := k.present(key, old, now); {
		case err != nil:
			return nil, err
		case !c.holds(r) || k.changedSince(c.Since, key, nil):
			return nil, ErrCondition
		case r == nil:
			return nil, ErrMissing
		}
		return nil, nil
	})
}

// Incr is durable when it returns.
func (k *Keeper) Incr(ctx context.Context, key string, i Increment) (count Count, err error) {
	if err := cmp.Or(CheckKey(key), i.Check()); err != nil {
		return Count{}, err
	}
	err = k.update(ctx, key, func(old []byte, number uint64, now time.Time) (*record, error) {
		epoch := k.log.Current()
		r, err := k.present(key, old, now)
		if err != nil {
			return nil, err
		}
		var sum int64
		if r == nil {
			r = &record{Value{Written: now}}
			r.live(i.TTL, 0)
		} else if sum, err = strconv.ParseInt(string(r.Bytes), 10, 64); err != nil {
			return nil, fmt.Errorf("%w: %.80q holds %d bytes that begin with %.20q", ErrNotNumber, key, len(r.Bytes), r.Bytes)
		}
		if i.By > 0 && sum > math.MaxInt64-i.By || i.By < 0 && sum < math.MinInt64-i.By {
			return nil, fmt.Errorf("%w: %.80q holds %d, and %d more is too much", ErrOverflow, key, sum, i.By)
		}
		if k.log.StaleTags(r.Tags, r.Epoch) {
			r.goStale(now) // counting makes nothing fresh
		}
		sum += i.By
		r.Bytes, r.Version, r.Written, r.Epoch = strconv.AppendInt(nil, sum, 10), number, now, epoch
		count = Count{Number: sum, Version: number, Fresh: r.Fresh}
		return r, nil
	})
	if err != nil {
		return Count{}, err
	}
	return count, nil
}

// update changes a record and tells everybody, also that nothing was there to delete. It is
// acknowledged when both are durable. nil is no record.
func (k *Keeper) update(ctx context.Context, key string, change func(old []byte, number uint64, now time.Time) (*record, error)) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var refused error
	begun, tell := false, k.log.Announce
	err := k.disk.Update(key, func(old []byte, number uint64) ([]byte, time.Time, error) {
		r, err := change(old, number, k.now())
		if refused = err; err == nil || errors.Is(err, ErrMissing) {
			begun = true
			k.begin(key)
		}
		if r == nil || err != nil {
			return nil, time.Time{}, err
		}
		src := r.encode()
		if len(key)+len(src) > MaxPushed {
			tell = func(key string) (uint64, error) { return k.log.Wrote(key) }
		}
		return src, r.Until, nil
	})
	if begun {
		defer k.end(key)
	}
	switch {
	case errors.Is(err, ErrInvalid):
		return err
	case err != nil && (refused == nil || !errors.Is(err, refused)): // also where what it was refused for went with it
		_, _ = k.log.Wrote(key) // whether it happened is not known: nobody goes on with what was there
		return fmt.Errorf("%w: write %.80q: %w", ErrDisk, key, err)
	case refused != nil && !begun:
		return refused
	}
	if _, err := tell(key); err != nil {
		return fmt.Errorf("kv: tell the log that %.80q was written: %w", key, err)
	}
	return refused
}

// begin and end surround a write from the moment at which it has its place in the order of
// the key's writes, until the log knows of it.
func (k *Keeper) begin(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writing[key]++
}

func (k *Keeper) end(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.writing[key]--; k.writing[key] == 0 {
		delete(k.writing, key)
	}
}

// changedSince says whether a rule later than an epoch names key or one of the tags, or will
// in a moment. It is called in the order of the key's writes.
func (k *Keeper) changedSince(epoch uint64, key string, tags []string) bool {
	if epoch == 0 {
		return false
	}
	k.mu.Lock()
	writing := k.writing[key] > 0
	k.mu.Unlock()
	// In this order: a write that has ended in between is a rule by now.
	return writing || k.log.Outdated(key, tags, epoch) || k.log.StaleTags(tags, epoch)
}

// present decodes the record of a value that is there, fresh or stale; nil when none is.
func (k *Keeper) present(key string, src []byte, now time.Time) (*record, error) {
	if src == nil {
		return nil, nil
	}
	r, err := decodeRecord(src)
	if err != nil {
		return nil, fmt.Errorf("kv: what is under %.80q: %w", key, err)
	}
	if r.gone(now) || k.log.Outdated("", r.Tags, r.Epoch) {
		return nil, nil
	}
	return r, nil
}

func (c Condition) holds(r *record) bool {
	switch {
	case c.Absent:
		return r == nil
	case c.Version != 0:
		return r != nil && r.Version == c.Version
	case c.Present:
		return r != nil
	}
	return true
}
