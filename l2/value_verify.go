package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// verifyValues reads every value of the folder, which no process may be writing to. It says whether there is a file of
// them.
func (r *Report) verifyValues(dir string) (bool, error) {
	path := filepath.Join(dir, valuesName)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	lock, err := lockFile(dir, valuesLockName, false)
	switch {
	case errors.Is(err, os.ErrNotExist): // a copy of the file alone
	case err != nil:
		return true, err
	default:
		defer func() { _ = lock.Close() }() // only read
	}
	if err := r.checkValues(path); err != nil {
		r.Damage = append(r.Damage, Damage{Where: path, What: err.Error()})
	}
	return true, nil
}

func (r *Report) checkValues(path string) error {
	if err := checkFile(path); err != nil {
		return err
	}
	db, err := openDatabase(path, 0, true)
	if err != nil {
		return boltOpenError(err)
	}
	err = db.do(func() error {
		return db.View(func(tx *bolt.Tx) error {
			t, err := valuesOf(tx)
			if err != nil {
				return err
			}
			return r.checkEach(t, path)
		})
	})
	return errors.Join(err, db.close())
}

// checkEach reads all values, and asks for each by its key.
func (r *Report) checkEach(t *valueTx, path string) error {
	found := 0
	err := t.order.ForEach(func(k, _ []byte) error {
		if len(k) == 10 {
			return nil // a chunk
		}
		if err := t.checkAt(k); err != nil {
			r.Damage = append(r.Damage, Damage{Where: fmt.Sprintf("%s value %x", path, k), What: err.Error()})
			return nil
		}
		found++
		return nil
	})
	r.Values += found
	if err != nil {
		return err
	}
	c, err := t.counts()
	if err == nil && c.values != uint64(found) && len(r.Damage) == 0 {
		err = fmt.Errorf("%d values of %d", found, c.values)
	}
	return err
}

func (t *valueTx) checkAt(k []byte) error {
	if len(k) != 8 {
		return errFormat
	}
	at := binary.BigEndian.Uint64(k)
	f, d, err := t.at(at)
	if err != nil {
		return err
	}
	if t.position(d) != at {
		return errIdentity
	}
	body, err := t.body(&f)
	if err != nil {
		return err
	}
	key, _, err := splitBody(body)
	if err == nil && digestOf(key) != d {
		err = errIdentity
	}
	return err
}
