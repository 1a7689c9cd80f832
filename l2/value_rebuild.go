package l2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"

	"weir/keying"
)

// A file that bbolt cannot work with, or that is longer than the budget, is replaced by a new one with what can be
// read of it. The old one stays in its place until the new one is whole.

// placed is where a value is.
type placed struct {
	digest keying.Digest
	at     uint64
}

// rebuild makes a new file in the place of values.db, and says how many values are in it. Neither is open.
func (v *Values) rebuild() (kept int, err error) {
	temp := v.path() + tempSuffix
	if err := removeLeftover(temp); err != nil {
		return 0, err
	}
	to, err := v.openAt(temp, v.limit)
	if err != nil {
		return 0, err
	}
	if kept, err = v.salvage(to); err == nil {
		err = to.close()
	} else {
		_ = to.close() // it is removed
	}
	if err == nil {
		err = errors.Join(os.Rename(temp, v.path()), syncDir(v.dir))
	}
	if err != nil {
		return 0, errors.Join(err, removeLeftover(temp))
	}
	return kept, nil
}

func inTx(db *database, fn func(*bolt.Tx) error) error {
	return db.do(func() error { return db.Update(fn) })
}

// salvage fills a new file with what can be read of values.db.
func (v *Values) salvage(to *database) (kept int, err error) {
	c := valueCounts{ceiling: max(v.next, uint64(max(v.opts.Now().UnixMicro(), 1)))}
	from, err := v.openOld()
	if err == nil && from != nil {
		defer func() { _ = from.close() }() // only read
		all := listValues(from, &c)
		err = inTx(to, func(tx *bolt.Tx) error { return createValues(tx, c) })
		for len(all) > 0 && err == nil {
			kept, all, err = v.copySome(to, from, kept, all)
		}
		return kept, err
	}
	return 0, errors.Join(err, inTx(to, func(tx *bolt.Tx) error { return createValues(tx, c) }))
}

// openOld opens values.db to read from. It is nil when that cannot be done, ever.
func (v *Values) openOld() (*database, error) {
	if checkFile(v.path()) != nil {
		return nil, nil
	}
	from, err := openDatabase(v.path(), 0, true)
	if err != nil && errors.Is(boltOpenError(err), ErrDamaged) {
		return nil, nil
	}
	return from, err
}

// copySome copies the first values of all, as far as half of the file has room, and returns those that are left.
func (v *Values) copySome(to, from *database, kept int, all []placed) (int, []placed, error) {
	err := inTx(to, func(tx *bolt.Tx) error {
		t, err := valuesOf(tx)
		if err != nil {
			return err
		}
		c, err := t.counts()
		if err != nil {
			return err
		}
		end := c.bytes + uint64(v.batchBytes())
		for n := 0; n < maxBatch && c.bytes < end && len(all) > 0; n++ {
			if int64(c.bytes) > v.limit/2 {
				all = nil
				break
			}
			ok, err := copyValue(t, from, &c, all[0])
			if err != nil {
				return err
			}
			if all = all[1:]; ok {
				kept++
			}
		}
		return t.root.Put(keyCounts, c.frame())
	})
	return kept, all, err
}

// listValues is where the values are, the newest first. What is on a damaged page is not found.
func listValues(from *database, c *valueCounts) (all []placed) {
	_ = guard(func() error { // counts that are damaged are made anew
		return from.View(func(tx *bolt.Tx) error {
			t, err := valuesOf(tx)
			if err != nil {
				return err
			}
			old, err := t.counts()
			c.ceiling = max(c.ceiling, old.ceiling)
			return err
		})
	})
	for prefix := range 1 << 12 {
		_ = guard(func() error { // a page that is damaged hides only those that begin alike
			return from.View(func(tx *bolt.Tx) error {
				t, err := valuesOf(tx)
				if err != nil {
					return err
				}
				all = t.list(uint16(prefix), all)
				return nil
			})
		})
	}
	slices.SortFunc(all, func(a, b placed) int { return cmp.Compare(b.at, a.at) })
	if len(all) > 0 {
		c.ceiling = max(c.ceiling, all[0].at+1)
	}
	return all
}

// list adds where the values are whose digests begin with 12 bits.
func (t *valueTx) list(prefix uint16, all []placed) []placed {
	cur := t.keys.Cursor()
	for k, v := cur.Seek(binary.BigEndian.AppendUint16(nil, prefix<<4)); len(k) == 16; k, v = cur.Next() {
		if binary.BigEndian.Uint16(k)>>4 != prefix {
			break
		}
		if len(v) == 8 {
			all = append(all, placed{keying.Digest(k), binary.BigEndian.Uint64(v)})
		}
	}
	return all
}

// copyValue copies a value, if it can be read and is what it should be.
func copyValue(to *valueTx, from *database, c *valueCounts, p placed) (ok bool, err error) {
	var f valueFrame
	var body []byte
	bad := guard(func() error {
		return from.View(func(tx *bolt.Tx) error {
			t, err := valuesOf(tx)
			if err != nil {
				return err
			}
			if f, err = decodeValue(t.order.Get(bePosition(p.at)), p.at); err != nil {
				return err
			}
			if body, err = t.body(&f); err != nil {
				return err
			}
			key, _, err := splitBody(body)
			if err == nil && digestOf(key) != p.digest {
				err = errIdentity
			}
			body = slices.Clone(body)
			return err
		})
	})
	if bad != nil {
		return false, nil
	}
	return true, to.put(c, p.digest, p.at, nanoUntil(f.until), body)
}

// setAside replaces a file that cannot be used. It is kept to be looked at, if the budget has room for both.
func (v *Values) setAside(why error) error {
	v.stats.damaged.Add(1)
	bad := filepath.Join(v.dir, badPrefix+valuesName)
	if err := removeLeftover(bad); err != nil {
		return err
	}
	info, err := os.Lstat(v.path())
	if err != nil {
		return err
	}
	fate := "the file is not kept, since it would take up more than half of the budget"
	if !info.Mode().IsRegular() {
		err = os.Rename(v.path(), bad)
		fate = "it is no file, and is kept as " + bad
	} else if info.Size() <= v.opts.MaxBytes/2 {
		err = os.Link(v.path(), bad)
		fate = "the file is kept as " + bad
	}
	if err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	v.measure()
	kept, err := v.rebuild()
	if err != nil {
		return fmt.Errorf("write what can be read of %s anew: %w", v.path(), err)
	}
	v.opts.Report(fmt.Errorf("values: %w; %d can be read and go on in a new file; %s", why, kept, fate))
	return nil
}

// measure computes what the budget leaves for values.db.
func (v *Values) measure() {
	v.limit = v.opts.MaxBytes
	if info, err := os.Lstat(filepath.Join(v.dir, badPrefix+valuesName)); err == nil {
		v.limit -= min(info.Size(), v.limit/2)
	}
}

// shrink makes a file that is longer than the budget as long as it may be.
func (v *Values) shrink() error {
	info, err := os.Lstat(v.path())
	if err != nil || !info.Mode().IsRegular() || info.Size() <= v.limit {
		return nil // what is wrong with it is for others to say
	}
	kept, err := v.rebuild()
	if err != nil {
		return fmt.Errorf("shrink %s: %w", v.path(), err)
	}
	v.opts.Report(fmt.Errorf("values took up %d bytes, more than the budget of %d: the newest %d go on in a new file", info.Size(), v.limit, kept))
	return nil
}
