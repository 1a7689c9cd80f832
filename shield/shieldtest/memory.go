// Package shieldtest checks implementations of the shield's store, and has one in
// memory for tests of its users.
package shieldtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// Memory is a shield.Store in memory. The zero value takes bodies of any length.
type Memory struct {
	// Limit is MaxObject; 0 is no limit.
	Limit int64
	// Fault, if set, is asked before each operation ("lookup", "create", "write",
	// "commit", "freshen", "drop", "read") and makes it fail.
	Fault func(op string, key keying.Key, at int64) error

	mu      sync.Mutex
	objects map[string][]*record // by key bytes, the newest first
	open    int                  // objects and writers that were not given back
	counts  map[string]int
}

type record struct {
	resp *rfc9111.Response
	body []byte
}

func (m *Memory) fault(op string, key keying.Key, at int64) error {
	m.mu.Lock()
	if m.counts == nil {
		m.counts = map[string]int{}
	}
	m.counts[op]++
	m.mu.Unlock()
	if m.Fault != nil {
		return m.Fault(op, key, at)
	}
	return nil
}

// Count says how often an operation was called.
func (m *Memory) Count(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[op]
}

// Open says how many objects and writers were not given back yet.
func (m *Memory) Open() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open
}

// Len says how many variants are stored.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, all := range m.objects {
		n += len(all)
	}
	return n
}

// Objects implements shield.Census.
func (m *Memory) Objects() int { return m.Len() }

// Heads implements shield.Census.
func (m *Memory) Heads(visit func(key keying.Key, head *rfc9111.Response) bool) error {
	if err := m.fault("heads", keying.Key{}, 0); err != nil {
		return err
	}
	type stored struct {
		key  keying.Key
		head *rfc9111.Response
	}
	var all []stored
	m.mu.Lock()
	for raw, records := range m.objects {
		key, err := keying.Parse(raw)
		if err != nil {
			m.mu.Unlock()
			return err
		}
		for _, r := range records {
			all = append(all, stored{key, r.resp})
		}
	}
	m.mu.Unlock()
	for _, s := range all {
		if !visit(s.key, s.head) {
			return nil
		}
	}
	return nil
}

// Variants implements shield.Census.
func (m *Memory) Variants(key keying.Key) (heads []*rfc9111.Response) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.objects[key.Bytes()] {
		heads = append(heads, r.resp)
	}
	return heads
}

// Lookup implements shield.Store.
func (m *Memory) Lookup(key keying.Key, h http.Header) (shield.Object, error) {
	if err := m.fault("lookup", key, 0); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.objects[key.Bytes()] {
		if r.resp.Selection.Matches(h) {
			m.open++
			return &memoryObject{m: m, key: key, resp: r.resp, body: r.body}, nil
		}
	}
	return nil, nil
}

// Varies implements shield.Store.
func (m *Memory) Varies(key keying.Key) []rfc9111.Selection {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []rfc9111.Selection
	for _, r := range m.objects[key.Bytes()] {
		if r.resp.Selection != "" {
			all = append(all, r.resp.Selection)
		}
	}
	return all
}

// Create implements shield.Store.
func (m *Memory) Create(key keying.Key, resp *rfc9111.Response) (shield.Writer, error) {
	if err := m.fault("create", key, resp.Length); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	return &memoryWriter{m: m, key: key}, nil
}

// Freshen implements shield.Store.
func (m *Memory) Freshen(key keying.Key, old, resp *rfc9111.Response) error {
	if err := m.fault("freshen", key, 0); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range m.objects[key.Bytes()] {
		if r.resp.Selection == resp.Selection && r.resp.ResponseTime.Equal(old.ResponseTime) && r.resp.Header.Get("Etag") == old.Header.Get("Etag") {
			m.objects[key.Bytes()][i] = &record{resp: resp, body: r.body}
			return nil
		}
	}
	return shield.ErrReplaced
}

// Drop implements shield.Store.
func (m *Memory) Drop(key keying.Key, selection rfc9111.Selection) error {
	if err := m.fault("drop", key, 0); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.objects[key.Bytes()]
	for i, r := range all {
		if r.resp.Selection == selection {
			m.objects[key.Bytes()] = slices.Delete(slices.Clone(all), i, i+1)
			break
		}
	}
	return nil
}

// MaxObject implements shield.Store.
func (m *Memory) MaxObject() int64 {
	if m.Limit > 0 {
		return m.Limit
	}
	return 1 << 40
}

type memoryObject struct {
	m      *Memory
	key    keying.Key
	resp   *rfc9111.Response
	body   []byte
	closed bool
}

func (o *memoryObject) Response() *rfc9111.Response { return o.resp }

func (o *memoryObject) ReadAt(p []byte, off int64) (int, error) {
	if err := o.m.fault("read", o.key, off); err != nil {
		return 0, err
	}
	return readAt(o.body, p, off)
}

func readAt(body, p []byte, off int64) (int, error) {
	if off >= int64(len(body)) {
		return 0, io.EOF
	}
	n := copy(p, body[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (o *memoryObject) Close() error {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	if o.closed {
		return errors.New("object closed twice")
	}
	o.closed = true
	o.m.open--
	return nil
}

type memoryWriter struct {
	m     *Memory
	key   keying.Key
	mu    sync.RWMutex
	body  []byte
	ended bool
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.m.fault("write", w.key, int64(len(w.body)+len(p))); err != nil {
		return 0, err
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *memoryWriter) ReadAt(p []byte, off int64) (int, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.ended {
		return 0, errors.New("read from an ended writer")
	}
	return readAt(w.body, p, off)
}

func (w *memoryWriter) Commit(resp *rfc9111.Response) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.m.fault("commit", w.key, resp.Length); err != nil {
		return err
	}
	if resp.Length != int64(len(w.body)) {
		return fmt.Errorf("%d bytes written of %d", len(w.body), resp.Length)
	}
	w.endLocked()
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	if w.m.objects == nil {
		w.m.objects = map[string][]*record{}
	}
	kept := []*record{{resp: resp, body: w.body}}
	for _, r := range w.m.objects[w.key.Bytes()] {
		if r.resp.Selection != resp.Selection {
			kept = append(kept, r)
		}
	}
	w.m.objects[w.key.Bytes()] = kept
	return nil
}

func (w *memoryWriter) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLocked()
}

func (w *memoryWriter) endLocked() {
	if w.ended {
		return
	}
	w.ended = true
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.open--
}
