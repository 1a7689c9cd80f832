package peer_test

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"weir/api/peer"
	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

func fullAsk() *peer.Ask {
	return &peer.Ask{
		Method: "GET", Scheme: "https", Host: "shop.test", Target: "/a?b=1", Query: "b=1&c=\xff", QueryChanged: true,
		Header: http.Header{"Cookie": {"a=\xfe", "b"}, "Accept": {""}}, Client: "192.0.2.1", Destination: "beta",
		Bypass: rfc9111.StatusPass, Key: keying.Digest{1, 2}, MinEpoch: 1 << 60, Region: "fra", Hops: 1,
		Settling: true, MustBeFresh: true, TakesTrailers: true, Interim: true,
		Resume: &peer.Resume{Offset: 7, Validator: `"a"`, Coding: "br", Size: -1},
	}
}

func fullReply() *peer.Reply {
	return &peer.Reply{
		Head: &rfc9111.Response{
			Status: 200, Header: http.Header{"Etag": {`"a"`}}, Length: -1,
			RequestTime: time.Unix(1, 2).UTC(), ResponseTime: time.Unix(3, 4).UTC(), Epoch: 9, Tags: []string{"a"},
		},
		Decision: rfc9111.Decision{
			Use: rfc9111.Miss, Outer: rfc9111.TierPass, Shield: rfc9111.TierCached, Status: rfc9111.StatusOK,
			Forward: rfc9111.ForwardMiss, OuterForward: rfc9111.ForwardStale, ForwardStatus: 304, Stored: true,
			Collapsed: true, TTL: -time.Second, HasTTL: true, Detail: "x",
		},
		Trailer: []string{"Server-Timing"}, Varied: true, Mixed: true, Content: true, Body: true, Alone: true,
		Came: time.Unix(5, 6).UTC(), Epoch: 12,
	}
}

func TestCodec(t *testing.T) {
	ask, err := peer.DecodeAsk(fullAsk().Encode())
	if err != nil || !reflect.DeepEqual(ask, fullAsk()) {
		t.Errorf("%+v, %v", ask, err)
	}
	reply, err := peer.DecodeReply(fullReply().Encode())
	if err != nil || !reflect.DeepEqual(reply, fullReply()) {
		t.Errorf("%+v, %v", reply, err)
	}
	passed := fullReply()
	passed.Head.RequestTime, passed.Head.ResponseTime = time.Time{}, time.Time{}
	if reply, err = peer.DecodeReply(passed.Encode()); err != nil || !reply.Head.ResponseTime.IsZero() {
		t.Errorf("a response without times got some: %v, %v", reply.Head.ResponseTime, err)
	}
	rules := []shield.Rule{shield.TagRule("a"), shield.AllRule()}
	got, err := peer.DecodeRules(peer.EncodeRules(rules))
	if err != nil || !reflect.DeepEqual(got, rules) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCutShort(t *testing.T) {
	ask, reply := fullAsk().Encode(), fullReply().Encode()
	for i := range ask {
		if _, err := peer.DecodeAsk(ask[:i]); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("an ask of %d bytes: %v", i, err)
		}
	}
	for i := range reply {
		if _, err := peer.DecodeReply(reply[:i]); !errors.Is(err, peer.ErrMalformed) {
			t.Errorf("a reply of %d bytes: %v", i, err)
		}
	}
	frame := peer.AppendFrame(nil, make([]byte, 1000))
	for i := range frame {
		if _, err := peer.ReadFrame(bufio.NewReader(bytes.NewReader(frame[:i])), 1000); err == nil {
			t.Errorf("a frame of %d bytes is whole", i)
		}
	}
	if _, err := peer.ReadFrame(bufio.NewReader(bytes.NewReader(frame)), 999); !errors.Is(err, peer.ErrMalformed) {
		t.Errorf("a frame beyond the limit: %v", err)
	}
}

func FuzzAsk(f *testing.F) {
	f.Add(fullAsk().Encode())
	f.Add((&peer.Ask{}).Encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		ask, err := peer.DecodeAsk(src)
		if err != nil {
			return
		}
		again, err := peer.DecodeAsk(ask.Encode())
		if err != nil || !reflect.DeepEqual(ask, again) {
			t.Errorf("%+v, %+v, %v", ask, again, err)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add(fullReply().Encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		reply, err := peer.DecodeReply(src)
		if err != nil {
			return
		}
		again, err := peer.DecodeReply(reply.Encode())
		if err != nil || again.Head.Status != reply.Head.Status || again.Epoch != reply.Epoch {
			t.Errorf("%+v, %+v, %v", reply, again, err)
		}
	})
}

func FuzzRules(f *testing.F) {
	f.Add(peer.EncodeRules([]shield.Rule{shield.TagRule("a"), shield.AllRule()}))
	f.Fuzz(func(t *testing.T, src []byte) {
		rules, err := peer.DecodeRules(src)
		if err != nil {
			return
		}
		if again, err := peer.DecodeRules(peer.EncodeRules(rules)); err != nil || len(again) != len(rules) {
			t.Errorf("%v, %v, %v", rules, again, err)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(peer.AppendFrame(nil, []byte("abc")))
	f.Fuzz(func(t *testing.T, src []byte) {
		frame, err := peer.ReadFrame(bufio.NewReader(bytes.NewReader(src)), 1<<30)
		if err == nil && len(frame) > len(src) {
			t.Errorf("%d bytes of %d", len(frame), len(src))
		}
	})
}
