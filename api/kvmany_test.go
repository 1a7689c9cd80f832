package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/api"
	"weir/kv"
)

// held counts what many values take together, at its most.
type held struct {
	mu                        sync.Mutex
	bytes, most, looking, all int
}

func (h *held) add(bytes, looking int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes += bytes
	h.looking += looking
	h.most, h.all = max(h.most, h.bytes), max(h.all, h.looking)
}

// slowStore takes a second for each look-up, and as much memory as it may for so long.
type slowStore struct {
	kv.Store
	held *held
}

func (s slowStore) GetMany(ctx context.Context, keys []string, limit int) ([]*kv.Value, error) {
	s.held.add(limit+kv.ManyMargin, 1)
	defer s.held.add(-limit-kv.ManyMargin, -1)
	<-time.After(time.Second)
	return s.Store.GetMany(ctx, keys, limit)
}

// slowClient takes a second for each look at what it is sent, which is in memory for so long.
type slowClient struct {
	*httptest.ResponseRecorder
	held  *held
	bytes int // of its values, 0 once it has begun to read
}

func (c *slowClient) Write(p []byte) (int, error) {
	if c.bytes > 0 {
		c.held.add(c.bytes, 0)
		<-time.After(time.Second)
		c.held.add(-c.bytes, 0)
		c.bytes = 0
	}
	return len(p), nil
}

// However many ask for many values at once, the memory for them has one bound, and nobody is
// refused while there is room.
func TestManyValuesTakeBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 3 * kv.MaxManyBytes
		store := newFakeStore(time.Now)
		same := bytes.Repeat([]byte("x"), kv.MaxValue)
		var large []string
		for i := range kv.MaxManyBytes / kv.MaxValue {
			large = append(large, fmt.Sprintf("%q", fmt.Sprint("large", i)))
			store.put(fmt.Sprint("large", i), &kv.Value{Bytes: same}, 0, 0)
		}
		store.put("small", &kv.Value{Bytes: same[:4<<20]}, 0, 0)
		for _, c := range []struct {
			name          string
			clients, keys int // of how many the second half wants all that is large
			atOnce        int // look-ups
		}{
			{"small", 40, 0, 8},
			{"mixed", 12, len(large), 8},
		} {
			var h held
			door := api.NewKV(api.KVOptions{Values: api.NewValues(api.ValuesOptions{
				Store: func() kv.Store { return slowStore{store, &h} }, Epoch: func() uint64 { return 1 },
			})})
			var all sync.WaitGroup
			for i := range c.clients {
				all.Go(func() {
					keys, total := []string{`"small"`}, 4<<20
					if i >= c.clients/2 && c.keys > 0 {
						keys, total = large, kv.MaxManyBytes
					}
					r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/v1/kv", strings.NewReader(`{"get": [`+strings.Join(keys, ",")+`]}`))
					w := &slowClient{httptest.NewRecorder(), &h, total}
					door.ServeHTTP(w, r)
					if w.Code != 200 && (w.Code != 503 || c.keys == 0) {
						t.Errorf("%s: status %d", c.name, w.Code)
					}
				})
			}
			all.Wait()
			if h.most > bound || h.all != c.atOnce {
				t.Errorf("%s: %d MiB at once, %d look-ups", c.name, h.most>>20, h.all)
			}
		}
	})
}
