package simulation_test

import (
	"net/http"
	"sync"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

// young is how long it may take until what is committed is durable.
const young = 200 * time.Millisecond

// disk is a store that outlives the process that writes it.
type disk struct {
	*shieldtest.Memory

	mu   sync.Mutex
	last map[string]stored // by key bytes and selection
}

type stored struct {
	key  keying.Key
	resp *rfc9111.Response
	at   time.Time
}

func newDisk() *disk { return &disk{Memory: &shieldtest.Memory{}, last: make(map[string]stored)} }

func (d *disk) Create(key keying.Key, resp *rfc9111.Response) (shield.Writer, error) {
	w, err := d.Memory.Create(key, resp)
	return &diskWriter{w, d, key}, err
}

func (d *disk) Freshen(key keying.Key, old, resp *rfc9111.Response) error {
	err := d.Memory.Freshen(key, old, resp)
	if err == nil {
		d.remember(key, resp)
	}
	return err
}

func (d *disk) remember(key keying.Key, resp *rfc9111.Response) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last[key.Bytes()+string(resp.Selection)] = stored{key, resp, time.Now()}
}

type diskWriter struct {
	shield.Writer
	disk *disk
	key  keying.Key
}

func (w *diskWriter) Commit(resp *rfc9111.Response) error {
	err := w.Writer.Commit(resp)
	if err == nil {
		w.disk.remember(w.key, resp)
	}
	return err
}

// crash returns what the next process finds. What was committed a moment ago may be lost.
func (d *disk) crash(chance func(percent int) bool) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newDisk()
	for name, s := range d.last {
		if time.Since(s.at) < young && chance(50) {
			continue
		}
		obj, err := d.Lookup(s.key, http.Header{})
		if obj == nil || err != nil {
			continue
		}
		body := make([]byte, obj.Response().Length)
		_, _ = obj.ReadAt(body, 0)
		head := obj.Response()
		_ = obj.Close()
		w, err := next.Memory.Create(s.key, head)
		if err != nil {
			panic(err)
		}
		if _, err := w.Write(body); err != nil {
			panic(err)
		}
		if err := w.Commit(head); err != nil {
			panic(err)
		}
		next.last[name] = stored{s.key, head, s.at}
	}
	return next
}
