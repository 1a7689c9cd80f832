package l2

import (
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"weir/keying"
)

// One goroutine, the writer, makes all changes. It takes the updates that came while the last transaction was synced,
// calls their functions one after another, and writes what they leave with one transaction. So what is written is
// known before bbolt is asked, and can be tried again after making room.

// update is one call of Update.
type update struct {
	key      string
	change   func(old []byte, number uint64) ([]byte, time.Time, error)
	err      error
	panicked any
	done     chan struct{}
}

// batchOf is the updates that share a transaction.
type batchOf struct {
	updates []*update
	of      map[string]*outcome // by key; not changed any more once it is being written
	order   []*outcome
	bytes   int // that are to be written
}

// outcome is what the updates of one key leave.
type outcome struct {
	key     string
	digest  keying.Digest
	before  []byte // what is durable
	body    []byte // key and record; nil for none
	record  []byte // within body
	until   time.Time
	number  uint64
	changed bool
}

func (v *Values) run() {
	defer close(v.done)
	for u := range v.queue {
		v.round(u)
	}
}

// round makes a batch of what is waiting, and writes it.
func (v *Values) round(u *update) {
	b := &batchOf{of: map[string]*outcome{}}
	err := v.reopen()
	for more := true; more; {
		b.updates = append(b.updates, u)
		if err == nil {
			v.call(b, u)
		}
		if len(b.updates) == v.batchLength() || b.bytes >= v.batchBytes() {
			break
		}
		select {
		case u, more = <-v.queue:
		default:
			more = false
		}
	}
	if err == nil {
		err = v.write(b)
	}
	for _, u := range b.updates {
		if err != nil {
			u.err = err // also of those that failed, because of what another left
		}
		close(u.done)
	}
}

// batchLength is how many updates share a transaction.
func (v *Values) batchLength() int { return int(min(v.limit/pageSize/64, maxBatch)) }

// batchBytes is how much one transaction may write; a batch is longer than that by at most one value.
func (v *Values) batchBytes() int { return int(min(v.limit/32, maxBatchBytes)) }

// longest is how long a key and its record can be.
func (v *Values) longest() int { return int(min(v.limit/4, maxValue)) }

// call lets u change what the updates before it left.
func (v *Values) call(b *batchOf, u *update) {
	if v.spare() <= 0 {
		u.err = fmt.Errorf("%w: no number is left until %s can be written again", ErrUnavailable, v.path())
		return
	}
	o := b.of[u.key]
	if o == nil {
		o = &outcome{key: u.key, digest: digestOf(u.key)}
		if o.before, u.err = v.read(o.digest, u.key); u.err != nil {
			return
		}
		o.record = o.before
		b.of[u.key] = o
		b.order = append(b.order, o)
	}
	number := v.next
	v.next++
	record, until, err := u.run(o.record, number)
	if err == nil && record != nil && len(record)+len(u.key) > v.longest() {
		err = fmt.Errorf("%w: a value of %d bytes; at most %d fit", ErrTooLarge, len(record), v.longest())
	}
	if err != nil || u.panicked != nil {
		u.err = err
		return
	}
	b.bytes -= len(o.body)
	o.record, o.body = record, nil
	if record != nil {
		o.body = valueBody(u.key, record)
	}
	b.bytes += len(o.body)
	o.until, o.number, o.changed = until, number, true
}

// spare is how many numbers may be given before more must be set aside.
func (v *Values) spare() int64 { return int64(v.stats.ceiling.Load() - v.next) }

// run calls the function. What it panics with goes to whoever called Update.
func (u *update) run(old []byte, number uint64) (record []byte, until time.Time, err error) {
	defer func() { u.panicked = recover() }()
	return u.change(old, number)
}

// writeTries is how often a batch is written, with more room each time, or to a file that replaced a damaged one.
const writeTries = 4

// write makes a batch durable. With an error nothing of it is.
func (v *Values) write(b *batchOf) error {
	changed := 0
	for _, o := range b.order {
		if o.changed && (o.body != nil || o.before != nil) {
			changed++
		}
	}
	if changed == 0 && v.spare() > numberBlock/4 {
		return nil
	}
	v.writing.Store(b)
	defer v.writing.Store(nil)
	var err error
	for try := int64(1); ; try++ {
		var low bool
		if low, err = v.makeRoom(try * v.pagesFor(changed, b.bytes)); err == nil {
			err = v.commit(func(t *valueTx, c *valueCounts) error {
				return errors.Join(v.sweepWhen(low, t, c), b.apply(t, c))
			})
		}
		if again := errors.Is(err, berrors.ErrMaxSizeReached) || errors.Is(err, errReplaced); !again || try == writeTries {
			break
		}
	}
	if err != nil {
		v.stats.failures.Add(1)
		return fmt.Errorf("l2: nothing is written to %s: %w", v.path(), err)
	}
	return nil
}

func (b *batchOf) apply(t *valueTx, c *valueCounts) error {
	for _, o := range b.order {
		if !o.changed {
			continue
		}
		if err := t.remove(c, o.digest); err != nil {
			return err
		}
		if o.body == nil {
			continue
		}
		if err := t.put(c, o.digest, o.number, o.until, o.body); err != nil {
			return err
		}
	}
	return nil
}

// commit runs fn in a transaction of its own.
func (v *Values) commit(fn func(*valueTx, *valueCounts) error) error {
	var c valueCounts
	err := inTx(v.db, func(tx *bolt.Tx) error {
		t, err := valuesOf(tx)
		if err != nil {
			return err
		}
		if c, err = t.counts(); err != nil {
			return err
		}
		if err := fn(t, &c); err != nil {
			return err
		}
		if c.ceiling < v.next+numberBlock/2 {
			c.ceiling = v.next + numberBlock
		}
		return t.root.Put(keyCounts, c.frame())
	})
	if err == nil {
		v.stats.commits.Add(1)
		v.stats.note(c)
	} else if errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) {
		err = v.replace(err)
	}
	return err
}

// errReplaced says that nothing was written because the file was damaged, and that there is a new one.
var errReplaced = errors.New("the file was damaged and is replaced")

// replace puts a new file in the place of one that bbolt cannot work with any more. Meanwhile nothing can be read.
func (v *Values) replace(why error) error {
	v.mu.Lock()
	_ = v.db.close() // it is damaged
	v.db = nil
	v.mu.Unlock()
	if err := v.setAside(why); err != nil {
		return errors.Join(why, err)
	}
	if err := v.reopen(); err != nil {
		return errors.Join(why, err)
	}
	return errReplaced
}

// reopen opens what is not open, because it is replaced or could not be.
func (v *Values) reopen() error {
	if v.db != nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open()
}
