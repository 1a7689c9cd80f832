package l1

import (
	"io"
)

// CollideHashes gives every key the same hash from now on.
func (t *Tier) CollideHashes() { t.hash = func(string) uint64 { return 7 } }

// YoungBytes is how much there is for new entries when memory is full.
func (t *Tier) YoungBytes() int64 { return t.store.max * youngShare / 100 }

// Uses is how many uses of what is held under a key are counted.
func (t *Tier) Uses(key string) int { return int(t.store.find(t.hash(key)).uses.Load()) }

var workshop encoders

// Encode codes a body as a worker does; not concurrently.
func Encode(name string, body []byte) ([]byte, error) { return workshop.encode(codingOf(name), body) }

// Decode undoes a coding in memory.
func Decode(name string, body []byte, limit int64) ([]byte, error) {
	return decodeWhole(codingOf(name), body, limit)
}

// DecodeStream undoes a coding as it comes.
func DecodeStream(name string, src io.ReadCloser) (body io.ReadCloser, taken func() int64) {
	c := codingOf(name)
	r := &room{taken: mostRoom[c]}
	return newDecodedBody(c, src, r), func() int64 { return r.taken }
}

// ErrTooLong is Decode's error for more than limit bytes.
var ErrTooLong = errTooLong

// RoomTaken is the memory that decoders have.
func (t *Tier) RoomTaken() int64 {
	taken := int64(0)
	for _, r := range []*room{&t.streams, &t.moments} {
		r.mu.Lock()
		taken += r.taken
		r.mu.Unlock()
	}
	return taken
}
