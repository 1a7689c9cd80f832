package peer_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"weir/api/peer"
	"weir/kv"
)

func fullKVAsk() *peer.KVAsk {
	return &peer.KVAsk{
		Op: peer.KVSet, Keys: []string{"user:42/ü"}, Size: kv.MaxValue,
		Draft:     kv.Draft{Type: "a/b", Metadata: []byte(`{"a":1}`), Tags: []string{"red", "blue"}, TTL: time.Minute, Stale: time.Second},
		Condition: kv.Condition{Absent: true, Present: true, Version: 7, Since: 9},
		Increment: kv.Increment{By: -5, TTL: time.Hour},
	}
}

func fullKVReply() *peer.KVReply {
	r := &peer.KVReply{Version: 3, Number: -1, Left: peer.KVLeft{Ends: true, Time: -time.Second}}
	now := time.Unix(1e9, 0)
	r.Find(nil, now)
	r.Find(&kv.Value{
		Bytes: []byte("abc"), Type: "a/b", Metadata: []byte("1"), Tags: []string{"t"}, Version: 4, Epoch: 5,
		Written: now.Add(-time.Minute), Fresh: now.Add(time.Second), Until: now.Add(time.Hour),
	}, now)
	r.Find(&kv.Value{Version: 6, Written: now}, now)
	r.Found = append(r.Found, peer.KVFound{Later: true})
	return r
}

func TestKVCodec(t *testing.T) {
	ask, err := peer.DecodeKVAsk(fullKVAsk().Encode())
	if err != nil || !reflect.DeepEqual(ask, fullKVAsk()) {
		t.Errorf("%+v, %v", ask, err)
	}
	reply, err := peer.DecodeKVReply(fullKVReply().Encode())
	if err != nil || !reflect.DeepEqual(reply, fullKVReply()) {
		t.Errorf("%+v, %v", reply, err)
	}
	for i := range fullKVAsk().Encode() {
		if _, err := peer.DecodeKVAsk(fullKVAsk().Encode()[:i]); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("an ask of %d bytes: %v", i, err)
		}
	}
	for i := range fullKVReply().Encode() {
		if _, err := peer.DecodeKVReply(fullKVReply().Encode()[:i]); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("a reply of %d bytes: %v", i, err)
		}
	}
	for name, spoil := range map[string]func(*peer.KVAsk){
		"no such operation": func(a *peer.KVAsk) { a.Op = 5 },
		"no key":            func(a *peer.KVAsk) { a.Op, a.Size, a.Keys = peer.KVGetMany, 0, nil },
		"two keys":          func(a *peer.KVAsk) { a.Keys = []string{"a", "b"} },
		"too many keys":     func(a *peer.KVAsk) { a.Op, a.Size, a.Keys = peer.KVGetMany, 0, make([]string, kv.MaxMany+1) },
		"too large":         func(a *peer.KVAsk) { a.Size++ },
		"a body of a read":  func(a *peer.KVAsk) { a.Op = peer.KVGet },
	} {
		a := fullKVAsk()
		spoil(a)
		if _, err := peer.DecodeKVAsk(a.Encode()); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKVVerdicts(t *testing.T) {
	for _, known := range []error{kv.ErrMissing, kv.ErrKey, kv.ErrInvalid, kv.ErrCondition, kv.ErrNotNumber, kv.ErrOverflow} {
		for _, err := range []error{known, fmt.Errorf("%w: it is; do that", known)} {
			r, ok := peer.VerdictOf(err)
			if !ok {
				t.Fatalf("%v does not travel", err)
			}
			if r, decoded := peer.DecodeKVReply(r.Encode()); decoded != nil || !errors.Is(r.Err(), known) || r.Err().Error() != err.Error() {
				t.Errorf("%v arrives as %v, %v", err, r.Err(), decoded)
			}
		}
	}
	if r, ok := peer.VerdictOf(nil); !ok || r.Err() != nil {
		t.Error("no error is one")
	}
	if _, ok := peer.VerdictOf(errors.New("disk")); ok {
		t.Error("an error of the shield's own travels as one of values")
	}
}

func FuzzKVAsk(f *testing.F) {
	f.Add(fullKVAsk().Encode())
	f.Add((&peer.KVAsk{Keys: []string{""}}).Encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		ask, err := peer.DecodeKVAsk(src)
		if err != nil {
			return
		}
		again, err := peer.DecodeKVAsk(ask.Encode())
		if err != nil || !reflect.DeepEqual(ask, again) {
			t.Errorf("%+v, %+v, %v", ask, again, err)
		}
	})
}

func FuzzKVReply(f *testing.F) {
	f.Add(fullKVReply().Encode())
	f.Add((&peer.KVReply{Verdict: 3, Why: "so"}).Encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		reply, err := peer.DecodeKVReply(src)
		if err != nil {
			return
		}
		again, err := peer.DecodeKVReply(reply.Encode())
		if err != nil || !reflect.DeepEqual(reply, again) {
			t.Errorf("%+v, %+v, %v", reply, again, err)
		}
	})
}

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const piece = peer.SmallValue + 1
		room := peer.NewRoom(3 * piece)
		take := func(ctx context.Context, bytes int64) func() {
			t.Helper()
			leave, err := room.Take(ctx, bytes)
			if err != nil {
				t.Fatal(err)
			}
			return leave
		}
		two := take(t.Context(), 2*piece)
		take(t.Context(), peer.SmallValue) // takes none
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := room.Take(ctx, 3*piece); !errors.Is(err, peer.ErrCrowded) {
			t.Errorf("more than there is: %v", err)
		}
		came, next := make(chan int64, 3), make(chan struct{})
		for _, bytes := range []int64{3 * piece, piece, 2 * piece} { // in turn, though the second would fit now
			go func() {
				leave := take(t.Context(), bytes)
				came <- bytes / piece
				<-next
				leave()
				leave()
			}()
			synctest.Wait()
		}
		if len(came) != 0 {
			t.Errorf("%d came before its turn", <-came)
		}
		two()
		synctest.Wait()
		if len(came) != 1 || <-came != 3 {
			t.Error("whoever came first did not get its room first")
		}
		next <- struct{}{}
		synctest.Wait()
		if len(came) != 2 {
			t.Errorf("%d of 2 have room", len(came))
		}
		close(next)
		synctest.Wait()
		take(t.Context(), 3*piece)() // all of it came back, once
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := room.Take(ctx, 4*piece); err == nil {
			t.Error("more came back than was taken")
		}
	})
}
