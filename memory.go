package weir

import (
	"bytes"
	"sync"
	"time"

	"weir/l1"
)

// memoryDisk keeps the records of a cache that is memory alone: a kv.Disk that forgets what
// is used least, and everything when the process ends.
type memoryDisk struct {
	records *l1.Values

	mu     sync.Mutex // held by the one who changes a record; guards number
	number uint64
}

// Read returns a copy of the record under key, or nil.
func (d *memoryDisk) Read(key string) ([]byte, error) {
	held, ok := d.records.Get(key)
	if !ok {
		return nil, nil
	}
	return bytes.Clone(held.([]byte)), nil
}

// Update changes what is under key.
func (d *memoryDisk) Update(key string, change func(old []byte, number uint64) ([]byte, time.Time, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var old []byte
	if held, ok := d.records.Get(key); ok {
		old = held.([]byte)
	}
	d.number++
	record, _, err := change(old, d.number)
	switch {
	case err != nil:
		return err
	case record == nil:
		d.records.Delete(key)
	default:
		d.records.Put(key, record, int64(len(record)))
	}
	return nil
}
