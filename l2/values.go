package l2

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"weir/keying"
)

const (
	valuesName     = "values.db"
	valuesLockName = "values.lock"

	minValues      = 8 << 20
	defaultValues  = 1 << 30
	maxValue       = 16 << 20 // longest record, its key included
	maxBatch       = 1024     // updates that share a transaction
	maxBatchBytes  = 16 << 20 // and how much they may write
	numberBlock    = 1 << 16  // numbers that are set aside at a time
	reportedValues = 8        // damaged values that an operator is told of one by one
)

// ValuesOptions are those of Values. The zero value is usable.
type ValuesOptions struct {
	MaxBytes int64            // budget of values.db, one that was set aside included; 1 GiB, at least 8 MiB. A value may have a quarter, 16 MiB at most
	Now      func() time.Time // time.Now
	Report   func(error)      // what an operator must know; called from any goroutine, must return quickly; nil drops it
}

func (o ValuesOptions) withDefaults() (ValuesOptions, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultValues
	}
	if o.MaxBytes < minValues {
		return o, fmt.Errorf("%w: a budget of %d bytes for values is less than %d", ErrOptions, o.MaxBytes, minValues)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	return o, nil
}

// Values keeps records of programs under keys, in values.db. It may lie in the folder of a Store or alone. Its methods
// may be called from any goroutine.
type Values struct {
	dir  string
	opts ValuesOptions
	lock *os.File

	gate   sync.RWMutex // guards closed, and sending to queue
	closed bool
	queue  chan *update
	done   chan struct{} // closed when the writer has ended

	mu    sync.RWMutex // held for reading while db is used, for writing while it changes
	db    *database    // nil while it is replaced
	ended bool         // it is closed

	writing atomic.Pointer[batchOf] // what is being made durable
	used    usedMarks
	stats   valueCounters

	reportMu sync.Mutex // guards reported
	reported map[keying.Digest]bool

	// What the writer alone uses.
	next  uint64 // number
	limit int64  // of values.db: the budget without what is set aside
}

// OpenValues opens the values in dir, which is made if need be. Only one process at a time can have them open. A file
// that is damaged is set aside, and the operator is told.
func OpenValues(dir string, opts ValuesOptions) (*Values, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	v := &Values{
		dir: dir, opts: opts,
		queue: make(chan *update, maxBatch), done: make(chan struct{}),
		used: newUsedMarks(opts.MaxBytes), reported: map[keying.Digest]bool{},
	}
	if v.lock, err = lockFile(dir, valuesLockName, true); err != nil {
		return nil, err
	}
	if err := v.open(); err != nil {
		return nil, errors.Join(err, v.lock.Close())
	}
	go v.run()
	return v, nil
}

func (v *Values) path() string { return filepath.Join(v.dir, valuesName) }

// open opens values.db. One that cannot be used is set aside, and one with what can be read of it takes its place.
func (v *Values) open() error {
	v.measure()
	if err := errors.Join(removeLeftover(v.path()+tempSuffix), v.shrink()); err != nil {
		return err
	}
	err := v.openFile()
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) {
		if err = v.setAside(err); err == nil {
			err = v.openFile()
		}
	}
	return err
}

func (v *Values) openFile() error {
	if _, err := os.Lstat(v.path()); err == nil {
		if err := checkFile(v.path()); err != nil {
			return fmt.Errorf("%s: %w", v.path(), err)
		}
	}
	db, err := v.openAt(v.path(), v.limit)
	if err != nil {
		return err
	}
	v.db = db
	if err := errors.Join(v.begin(), syncDir(v.dir)); err != nil {
		v.db = nil
		return fmt.Errorf("open %s: %w", v.path(), errors.Join(err, db.close()))
	}
	return nil
}

// openAt opens a file that may have so many bytes. No reader ever waits for its mapping to grow: it has that size from
// the start.
func (v *Values) openAt(path string, limit int64) (*database, error) {
	opts := boltOptions(limit, false)
	opts.NoStatistics = false // they say how many pages are free
	opts.MaxSize = int(limit)
	db, err := openBolt(path, opts)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, boltOpenError(err))
	}
	db.AllocSize = int(min(limit/64, 4<<20))
	return db, nil
}

// begin sets aside the numbers that this process may give. A new file begins with the time, so that one that is
// removed or set aside does not bring its numbers back.
func (v *Values) begin() error {
	var c valueCounts
	err := inTx(v.db, func(tx *bolt.Tx) error {
		if tx.Bucket(bucketValues) == nil {
			if name, _ := tx.Cursor().First(); name != nil {
				return fmt.Errorf("%w: it has other things in it", ErrForeign)
			}
			v.next = max(v.next, uint64(max(v.opts.Now().UnixMicro(), 1)))
			c = valueCounts{ceiling: v.next + numberBlock}
			return createValues(tx, c)
		}
		t, err := valuesOf(tx)
		if err != nil {
			return err
		}
		if c, err = t.counts(); err != nil {
			return err
		}
		v.next = max(v.next, c.ceiling)
		c.ceiling = v.next + numberBlock
		return t.root.Put(keyCounts, c.frame())
	})
	v.stats.note(c)
	return err
}

// Read returns a copy of the record under key, or nil. It sees what is durable and nothing else.
func (v *Values) Read(key string) ([]byte, error) {
	d := digestOf(key)
	record, err := v.read(d, key)
	switch {
	case err != nil:
		return nil, err
	case record == nil:
		v.stats.misses.Add(1)
	default:
		v.stats.hits.Add(1)
		v.used.mark(d)
	}
	return record, nil
}

func (v *Values) read(d keying.Digest, key string) (record []byte, err error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	switch {
	case v.ended:
		return nil, ErrClosed
	case v.db == nil:
		return nil, fmt.Errorf("%w: %s was damaged, and cannot be replaced yet", ErrUnavailable, v.path())
	}
	err = guard(func() error {
		return v.db.View(func(tx *bolt.Tx) error {
			// The transaction may see a commit that is not synced yet. Its batch is looked at after the transaction
			// began, so it is still there then.
			if b := v.writing.Load(); b != nil {
				if o := b.of[key]; o != nil {
					record = slices.Clone(o.before)
					return nil
				}
			}
			t := valueTx{tx: tx, order: tx.Bucket(bucketOrder), keys: tx.Bucket(bucketKeys)}
			if t.order == nil || t.keys == nil {
				return errFormat
			}
			record, err = t.record(d, key)
			return err
		})
	})
	if err != nil {
		v.damage(d, err)
		return nil, nil
	}
	return record, nil
}

// damage counts a value that did not check out, and tells the operator once.
func (v *Values) damage(d keying.Digest, err error) {
	v.stats.damaged.Add(1)
	v.reportMu.Lock()
	first := !v.reported[d] && len(v.reported) < reportedValues
	if first {
		v.reported[d] = true
	}
	v.reportMu.Unlock()
	if first {
		v.opts.Report(fmt.Errorf("%w value %x in %s: %w; it is missing", ErrDamaged, d, v.path(), err))
	}
}

// Update changes what is under key, and returns once that is durable. change is called once, by one goroutine that
// changes all values one after another, with the record that the update before it left, or nil, and a number that no
// other call has ever got. It must return quickly, and must not use these values. It returns the record to keep, nil
// for none, which nobody changes from then on, and until when it is worth its room; zero: always. With an error nothing
// changes. Whoever updates waits until those before him are done, so what is waiting is bounded by its callers.
func (v *Values) Update(key string, change func(old []byte, number uint64) (record []byte, until time.Time, err error)) error {
	u := &update{key: key, change: change, done: make(chan struct{})}
	v.gate.RLock()
	if v.closed {
		v.gate.RUnlock()
		return ErrClosed
	}
	v.queue <- u // the writer ends only after the gate is closed
	v.gate.RUnlock()
	<-u.done
	if u.panicked != nil {
		panic(u.panicked)
	}
	return u.err
}

// Empty says whether there are no values at all.
func (v *Values) Empty() bool { return v.stats.values.Load() == 0 }

// Close makes durable what is waiting and closes the file.
func (v *Values) Close() error {
	v.gate.Lock()
	again := v.closed
	if !again {
		v.closed = true
		close(v.queue)
	}
	v.gate.Unlock()
	<-v.done
	if again {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	var err error
	if v.db != nil {
		err = v.db.close()
	}
	return errors.Join(err, v.lock.Close())
}
