package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/cespare/xxhash/v2"
	bolt "go.etcd.io/bbolt"
)

const logName = "rules.db"

var bucketRules = []byte("rules 1")

// Log is an append-only, durable list of rules, each with an epoch: what was invalidated, in order. It is a
// bbolt file of its own in the store's folder, so that no damage to a segment can undo an invalidation.
type Log struct {
	path string
	run  sync.Mutex // guards db; held while a batch is written, to read, and to close
	db   *database
	mu   sync.Mutex // guards what follows; not held during I/O
	next *batch
	busy bool
}

// batch is rules that are appended by one transaction.
type batch struct {
	rules [][]byte
	done  chan struct{}
	lead  chan struct{} // has room for the word to one who waits that it is to write this batch
	err   error
}

// OpenLog opens the rule log in dir on its own. A store's is Store.Log. report is told of a log that is set
// aside; nil: nobody is.
func OpenLog(dir string, report func(error)) (*Log, error) {
	if report == nil {
		report = func(error) {}
	}
	return openLog(dir, report)
}

// openLog opens or makes the log. One that cannot be opened is set aside and the operator is told; a new
// one takes its place.
func openLog(dir string, report func(error)) (*Log, error) {
	path := filepath.Join(dir, logName)
	if err := removeLeftover(path + tempSuffix); err != nil {
		return nil, err
	}
	db, err := openRules(path)
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) {
		report(fmt.Errorf("rule log set aside: %w", err))
		if err := os.Rename(path, filepath.Join(dir, badPrefix+logName)); err != nil {
			return nil, err
		}
		db, err = openRules(path)
	}
	if err != nil {
		return nil, err
	}
	return &Log{path: path, db: db}, nil
}

func openRules(path string) (db *database, err error) {
	if _, err := os.Lstat(path); err == nil {
		if err := checkFile(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if db, err = openDatabase(path, 1<<20, false); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, boltOpenError(err))
	}
	db.AllocSize = 64 << 10
	err = db.do(func() error {
		return db.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(bucketRules)
			return err
		})
	})
	if err != nil {
		_ = db.close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, syncDir(filepath.Dir(path))
}

// Append adds a rule and returns when it is durable. Rules that are appended at the same time share a transaction.
func (l *Log) Append(epoch uint64, rule []byte) error {
	v := frameRule(epoch, rule)
	l.mu.Lock()
	if l.next == nil {
		l.next = &batch{done: make(chan struct{}), lead: make(chan struct{}, 1)}
	}
	b := l.next
	b.rules = append(b.rules, v)
	if l.busy {
		l.mu.Unlock()
		select {
		case <-b.done:
			return b.err
		case <-b.lead:
		}
		l.mu.Lock()
	}
	l.busy, l.next = true, nil
	l.mu.Unlock()
	b.err = l.write(b.rules)
	close(b.done)
	l.mu.Lock()
	if l.next != nil {
		l.next.lead <- struct{}{} // one of those who wait for it goes on: nobody writes for others for ever
	} else {
		l.busy = false
	}
	l.mu.Unlock()
	return b.err
}

// Rewrite replaces all rules by those of a sequence, durably and as one step: in a new file, so that the log takes no
// more room than what is in it. Appends wait until it is done, so what the sequence yields must include whatever was
// appended before. With an error the rules are as they were.
func (l *Log) Rewrite(rules iter.Seq2[uint64, []byte]) error {
	l.run.Lock()
	defer l.run.Unlock()
	temp := l.path + tempSuffix
	db, err := writeRules(temp, rules)
	if err != nil {
		return errors.Join(err, removeLeftover(temp))
	}
	if err := os.Rename(temp, l.path); err != nil {
		return errors.Join(err, db.close(), removeLeftover(temp))
	}
	old := l.db
	l.db = db
	// The rules are those of the new file now, whatever becomes of the old one.
	_ = old.close()
	return syncDir(filepath.Dir(l.path))
}

// writeRules makes a log at path that holds rules.
func writeRules(path string, rules iter.Seq2[uint64, []byte]) (*database, error) {
	if err := removeLeftover(path); err != nil {
		return nil, err
	}
	db, err := openRules(path)
	if err != nil {
		return nil, err
	}
	err = db.do(func() error {
		return db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketRules)
			for epoch, rule := range rules {
				if err := putRule(b, frameRule(epoch, rule)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// removeLeftover removes what a rewriting that did not end has left.
func removeLeftover(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (l *Log) write(rules [][]byte) error {
	l.run.Lock()
	defer l.run.Unlock()
	return l.db.do(func() error { return l.put(rules) })
}

func (l *Log) put(rules [][]byte) error {
	return l.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketRules)
		for _, v := range rules {
			if err := putRule(b, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// frameRule puts a checksum before a rule and its epoch.
func frameRule(epoch uint64, rule []byte) []byte {
	v := make([]byte, 8, 16+len(rule))
	v = binary.BigEndian.AppendUint64(v, epoch)
	v = append(v, rule...)
	binary.BigEndian.PutUint64(v, xxhash.Sum64(v[8:]))
	return v
}

func putRule(b *bolt.Bucket, v []byte) error {
	b.FillPercent = 1
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, n), v)
}

// Replay calls fn for each rule in the order of Append. The rule is only valid during the call, and fn must not use the
// log. A damaged rule ends it with an error that wraps ErrDamaged.
func (l *Log) Replay(fn func(epoch uint64, rule []byte) error) error {
	l.run.Lock()
	defer l.run.Unlock()
	return guard(func() error {
		return l.db.View(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketRules)
			if b == nil {
				return fmt.Errorf("%w: no rules in it", ErrForeign)
			}
			return b.ForEach(func(k, v []byte) error {
				if len(v) < 16 || binary.BigEndian.Uint64(v) != xxhash.Sum64(v[8:]) {
					return fmt.Errorf("%w: rule %x", ErrDamaged, k)
				}
				return fn(binary.BigEndian.Uint64(v[8:]), v[16:])
			})
		})
	})
}

// Close closes the log.
func (l *Log) Close() error {
	l.run.Lock()
	defer l.run.Unlock()
	return l.db.close()
}
