package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"weir/keying"
)

// bbolt uses the pages again that a transaction let go of, and never gives one back. So the file grows up to the budget
// and stays within it, if there are always as many free pages as a transaction needs before it lets go of others. Values
// lie in the order in which they were written, so the oldest ones share pages, and removing them frees those.

// usedMarks remembers which values were read since they were written, in a bit each. Two may share one.
type usedMarks []atomic.Uint32

func newUsedMarks(budget int64) usedMarks {
	return make(usedMarks, min(budget/(32<<8), 1<<20))
}

func (m usedMarks) of(d keying.Digest) (*atomic.Uint32, uint32) {
	n := binary.LittleEndian.Uint64(d[:])
	return &m[(n>>5)%uint64(len(m))], 1 << (n & 31)
}

func (m usedMarks) mark(d keying.Digest) {
	if w, bit := m.of(d); w.Load()&bit == 0 {
		w.Or(bit)
	}
}

// take says whether d was marked, and removes the mark.
func (m usedMarks) take(d keying.Digest) bool {
	w, bit := m.of(d)
	return w.And(^bit)&bit != 0
}

// Pages that a transaction needs before the ones that it lets go of are free: hardly ever more. bbolt refuses what would
// go beyond the budget all the same, and then more room is made.
const (
	pagesPerUpdate = 5  // the leaf where a value was, those of what finds it, and what leads there
	pagesAlways    = 64 // counts, roots, the list of free pages
	maxSweep       = 512
)

func (v *Values) pagesFor(updates, bytes int) int64 {
	return pagesAlways + int64(updates)*pagesPerUpdate + int64(bytes)/(pageSize*3/4)
}

// sweepLength is how many values one transaction goes over.
func (v *Values) sweepLength() int { return int(min(v.limit/pageSize/128, maxSweep)) }

// makeRoom removes values until there is room for so many pages. low says that there soon will be none.
func (v *Values) makeRoom(pages int64) (low bool, err error) {
	sweep := v.pagesFor(v.sweepLength(), 0) // always free, so that room can be made
	need := pages + sweep
	for carry := v.stats.values.Load(); ; {
		room, err := v.room()
		if err != nil || room >= need {
			return room < need+sweep/2, err
		}
		var n uint64
		err = v.commit(func(t *valueTx, c *valueCounts) (err error) {
			n, err = v.sweep(t, c, (need-room)*pageSize, carry > 0)
			return err
		})
		switch {
		case err != nil:
			return true, err
		case n == 0:
			return true, fmt.Errorf("%w: %d bytes do not fit into %d", ErrTooLarge, pages*pageSize, v.limit)
		}
		carry -= min(carry, n)
	}
}

// sweepWhen makes some room ahead of need, with a transaction that is written anyway.
func (v *Values) sweepWhen(low bool, t *valueTx, c *valueCounts) error {
	if !low {
		return nil
	}
	_, err := v.sweep(t, c, 0, true)
	return err
}

// room is how many pages can be had.
func (v *Values) room() (pages int64, err error) {
	err = v.db.do(func() error {
		return v.db.View(func(tx *bolt.Tx) error {
			pages = (v.limit-int64(v.db.AllocSize)-tx.Size())/pageSize - 2 + v.unused()
			return nil
		})
	})
	return pages, err
}

// unused is how many pages bbolt can use again. Nobody but the writer changes that.
func (v *Values) unused() int64 {
	st := v.db.Stats()
	return int64(st.FreePageN + st.PendingPageN)
}

// sweep removes expired values. When there are none it goes over the oldest ones: what was read meanwhile is written
// once more, at the end, up to three times as much as is removed, and the rest is removed. As long as a quarter of
// the file is holes nothing is removed, if carry allows: writing once more closes them. It says how many values it went
// over.
func (v *Values) sweep(t *valueTx, c *valueCounts, bytes int64, carry bool) (uint64, error) {
	if n, err := v.sweepExpired(t, c); err != nil || n > 0 {
		return n, err
	}
	inUse := t.tx.Size() - v.unused()*pageSize
	return v.sweepOldest(t, c, bytes, carry && int64(c.bytes) < inUse/4*3)
}

// sweepExpired removes values whose time is over, and says how many.
func (v *Values) sweepExpired(t *valueTx, c *valueCounts) (n uint64, err error) {
	now := uint64(v.opts.Now().UnixNano())
	cur := t.until.Cursor()
	var keys [][]byte
	for k, _ := cur.First(); len(k) == 16 && binary.BigEndian.Uint64(k) <= now && len(keys) < v.sweepLength(); k, _ = cur.Next() {
		keys = append(keys, append([]byte{}, k...))
	}
	for _, k := range keys {
		at := binary.BigEndian.Uint64(k[8:])
		if err := errors.Join(t.until.Delete(k), v.evict(t, c, at)); err != nil {
			return n, err
		}
	}
	c.expired += uint64(len(keys))
	return uint64(len(keys)), nil
}

// evict removes the value at a position.
func (v *Values) evict(t *valueTx, c *valueCounts, at uint64) error {
	f, d, err := t.at(at)
	if err != nil {
		return nil // gone, or damaged: then it is found among the oldest some day
	}
	return errors.Join(t.unlink(c, d, &f), t.removeApart(&f))
}

// at reads what is at a position.
func (t *valueTx) at(at uint64) (f valueFrame, d keying.Digest, err error) {
	if f, err = decodeValue(t.order.Get(bePosition(at)), at); err == nil {
		d, err = f.digest()
	}
	return f, d, err
}

// sweepOldest goes over the oldest values until it has removed some number of bytes, or carried four times as many.
func (v *Values) sweepOldest(t *valueTx, c *valueCounts, bytes int64, carryAll bool) (n uint64, err error) {
	var removed, carried int64
	bytes = max(bytes, v.limit/1024)
	for _, at := range t.oldest(v.sweepLength()) {
		if removed >= bytes || carried >= 4*bytes {
			break
		}
		n++
		f, d, err := t.at(at)
		if err != nil { // damaged: whoever asks for it hears of it
			c.values -= min(c.values, 1)
			if err := t.clear(at); err != nil {
				return n, err
			}
			continue
		}
		if used := v.used.take(d); carryAll || used && carried <= bytes+3*removed {
			carried += int64(f.cost())
			err = v.carry(t, c, d, f)
		} else {
			removed += int64(f.cost())
			c.evicted++
			err = errors.Join(t.unlink(c, d, &f), t.removeApart(&f))
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// oldest are the first positions.
func (t *valueTx) oldest(n int) (list []uint64) {
	cur := t.order.Cursor()
	for k, _ := cur.First(); len(k) >= 8 && len(list) < n; k, _ = cur.Next() {
		if at := binary.BigEndian.Uint64(k); len(list) == 0 || list[len(list)-1] != at {
			list = append(list, at)
		}
	}
	return list
}

// carry writes a value once more, at the end. A body that is apart stays where it is.
func (v *Values) carry(t *valueTx, c *valueCounts, d keying.Digest, f valueFrame) error {
	var body []byte
	if f.where == bodyBeside {
		var err error
		if body, err = t.body(&f); err != nil {
			return t.unlink(c, d, &f) // damaged
		}
	}
	if err := t.unlink(c, d, &f); err != nil {
		return err
	}
	f.at = v.next
	v.next++
	c.carried++
	return errors.Join(t.link(c, d, &f), putChunks(t.order, bePosition(f.at), body))
}

// disk is what values.db takes up, and what was set aside.
func (v *Values) disk() (total int64) {
	for _, name := range []string{valuesName, badPrefix + valuesName} {
		if info, err := os.Stat(filepath.Join(v.dir, name)); err == nil {
			total += info.Size()
		}
	}
	return total
}
