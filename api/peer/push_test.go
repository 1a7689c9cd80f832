package peer_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"weir/api/peer"
	"weir/kv"
	"weir/shield"
)

func fullPushes() *peer.Pushes {
	now := time.Unix(1e9, 0)
	v := &kv.Value{
		Bytes: []byte("abc"), Type: "a/b", Metadata: []byte("1"), Tags: []string{"t"}, Version: 4, Epoch: 5,
		Written: now.Add(-time.Minute), Fresh: now.Add(time.Second), Until: now.Add(time.Hour),
	}
	return &peer.Pushes{
		Log: shield.LogID{1, 2, 3}, Stamp: 9, Held: time.Second,
		Keys: []peer.Push{
			peer.PushOf(kv.Pushed{Key: "user:42/ü", Value: v, Epoch: 5}, now),
			peer.PushOf(kv.Pushed{Key: "gone", Epoch: 6}, now),
			peer.PushOf(kv.Pushed{Key: "empty", Value: &kv.Value{Bytes: []byte{}, Version: 6, Written: now}, Epoch: 7}, now),
		},
	}
}

func TestPushesCodec(t *testing.T) {
	got, err := peer.DecodePushes(fullPushes().Encode())
	if err != nil || !reflect.DeepEqual(got, fullPushes()) {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range fullPushes().Encode() {
		if _, err := peer.DecodePushes(fullPushes().Encode()[:i]); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("pushes of %d bytes: %v", i, err)
		}
	}
	for name, spoil := range map[string]func(*peer.Pushes){
		"no stamp":       func(p *peer.Pushes) { p.Stamp = 0 },
		"from before":    func(p *peer.Pushes) { p.Held = -1 },
		"no key":         func(p *peer.Pushes) { p.Keys[1].Key = "" },
		"no epoch":       func(p *peer.Pushes) { p.Keys[1].Epoch = 0 },
		"no version":     func(p *peer.Pushes) { p.Keys[0].Found.Value.Version = 0 },
		"not looked up":  func(p *peer.Pushes) { p.Keys[1].Found.Later = true },
		"more than sent": func(p *peer.Pushes) { p.Keys[2].Found.Size = 1 },
	} {
		p := fullPushes()
		spoil(p)
		if _, err := peer.DecodePushes(p.Encode()); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A push is counted with no fewer bytes than it takes.
func TestSizeOfPushes(t *testing.T) {
	p, sum := fullPushes(), 0
	for i := range p.Keys {
		sum += p.Keys[i].Size()
	}
	if n := len(p.Encode()); n > sum {
		t.Errorf("%d bytes are counted as %d", n, sum)
	}
}

func FuzzPushes(f *testing.F) {
	f.Add(fullPushes().Encode())
	f.Add((&peer.Pushes{Stamp: 1}).Encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := peer.DecodePushes(src)
		if err != nil {
			return
		}
		again, err := peer.DecodePushes(p.Encode())
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("%+v, %+v, %v", p, again, err)
		}
	})
}
