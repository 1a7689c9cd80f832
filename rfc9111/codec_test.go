package rfc9111_test

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

func fullResponse() *rfc9111.Response {
	selection, _ := rfc9111.Select([]string{"Accept, Cookie, X-A"}, header("Accept: */*", "Cookie: "+strings.Repeat("c", 100)))
	return &rfc9111.Response{
		Status:       200,
		Header:       header("Content-Type: text/html", "Link: </a>", "Link: </b>", "X-Empty:", "X-Bytes: \xff\x00"),
		RequestTime:  arrival.Add(123456789),
		ResponseTime: arrival.Add(time.Second),
		Length:       1 << 40,
		Selection:    selection,
		Terms: rfc9111.Terms{
			InitialAge: 1, Lifetime: 1 << 31 * time.Second, StaleWhileRevalidate: time.Hour, StaleIfError: time.Minute,
			MustRevalidate: true, NoCache: true,
		},
		Tags:  []string{"", "product:42", strings.Repeat("t", 300)},
		Epoch: math.MaxUint64,
	}
}

func TestCodecRoundTrip(t *testing.T) {
	for name, r := range map[string]*rfc9111.Response{
		"everything": fullResponse(),
		"nothing":    {Header: http.Header{}},
		"incomplete": {Status: 200, Header: http.Header{}, Length: 12, Parts: &rfc9111.Parts{
			Size: 1 << 40, Held: []rfc9111.Range{{Start: 0, Length: 5}, {Start: 7, Length: 7}},
		}},
		"no length": {Status: 404, Header: http.Header{"A": {}}, Length: -1, Terms: rfc9111.Terms{NoCache: true, Lifetime: -1}},
	} {
		prefix := []byte("before")
		coded := r.Encode(bytes.Clone(prefix))
		if !bytes.HasPrefix(coded, prefix) {
			t.Fatalf("%s: does not append", name)
		}
		coded = coded[len(prefix):]
		got, err := rfc9111.DecodeResponse(coded)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, r)
		}
		clear(coded)
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: shares memory with its source", name)
		}
	}
}

// Zones and monotonic readings are not stored; the instant is.
func TestCodecTimes(t *testing.T) {
	r := &rfc9111.Response{Header: http.Header{}, RequestTime: time.Now(), ResponseTime: arrival.In(time.FixedZone("x", 3600))}
	got, err := rfc9111.DecodeResponse(r.Encode(nil))
	if err != nil || !got.RequestTime.Equal(r.RequestTime) || !got.ResponseTime.Equal(r.ResponseTime) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCodecProperties(t *testing.T) {
	text := rapid.StringN(0, 20, 40)
	rapid.Check(t, func(t *rapid.T) {
		r := &rfc9111.Response{
			Status:       rapid.IntRange(0, 999).Draw(t, "status"),
			Header:       rapid.MapOfN(text, rapid.SliceOfN(text, 1, 3), 0, 5).Draw(t, "header"),
			RequestTime:  time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "sec"), rapid.Int64Range(0, 999999999).Draw(t, "nsec")).UTC(),
			ResponseTime: time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "sec"), 0).UTC(),
			Length:       rapid.Int64Range(-1, 1<<62).Draw(t, "length"),
			Terms: rfc9111.Terms{
				InitialAge:   time.Duration(rapid.Int64().Draw(t, "age")),
				StaleIfError: time.Duration(rapid.Int64().Draw(t, "window")),
				NoCache:      rapid.Bool().Draw(t, "no-cache"),
			},
			Epoch: rapid.Uint64().Draw(t, "epoch"),
		}
		if tags := rapid.SliceOfN(text, 0, 3).Draw(t, "tags"); len(tags) > 0 {
			r.Tags = tags
		}
		got, err := rfc9111.DecodeResponse(r.Encode(nil))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, r)
		}
	})
}

func TestDecodeDamaged(t *testing.T) {
	whole := fullResponse().Encode(nil)
	for n := range whole {
		if _, err := rfc9111.DecodeResponse(whole[:n]); !errors.Is(err, rfc9111.ErrDamaged) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := rfc9111.DecodeResponse(append(bytes.Clone(whole), 0)); !errors.Is(err, rfc9111.ErrDamaged) {
		t.Errorf("a byte too many: %v", err)
	}
	whole[0]++
	if _, err := rfc9111.DecodeResponse(whole); !errors.Is(err, rfc9111.ErrDamaged) {
		t.Errorf("another version: %v", err)
	}

	// The smallest one, with one byte changed after the other: version, status, request
	// time (2), response time (2), length, selection, four terms, flags, epoch, tags, names, values.
	small := (&rfc9111.Response{Header: http.Header{}, RequestTime: time.Unix(0, 0), ResponseTime: time.Unix(0, 0)}).Encode(nil)
	for at, value := range map[int]byte{7: 1, 12: 4, 14: 1, 15: 1, 16: 1} {
		bad := bytes.Clone(small)
		bad[at] = value
		if _, err := rfc9111.DecodeResponse(bad); !errors.Is(err, rfc9111.ErrDamaged) {
			t.Errorf("byte %d as %d: %v", at, value, err)
		}
	}
	if r, err := rfc9111.DecodeResponse(small); err != nil || r.Length != 0 {
		t.Errorf("undamaged: %+v, %v", r, err)
	}

	twice := (&rfc9111.Response{Header: http.Header{"A": {}, "B": {}}}).Encode(nil)
	twice[bytes.LastIndexByte(twice, 'B')] = 'A'
	if _, err := rfc9111.DecodeResponse(twice); !errors.Is(err, rfc9111.ErrDamaged) {
		t.Errorf("a name twice: %v", err)
	}
	selected := (&rfc9111.Response{Header: http.Header{}, Selection: "\x03Fooz"}).Encode(nil)
	if _, err := rfc9111.DecodeResponse(selected); !errors.Is(err, rfc9111.ErrDamaged) {
		t.Errorf("a selection that is none: %v", err)
	}
}

// Ranges that are not in order, touch, or do not make up the body are damage.
func TestDecodeDamagedParts(t *testing.T) {
	for name, p := range map[string]rfc9111.Parts{
		"none":           {Size: 10},
		"touching":       {Size: 10, Held: []rfc9111.Range{{Start: 0, Length: 2}, {Start: 2, Length: 2}}},
		"out of order":   {Size: 10, Held: []rfc9111.Range{{Start: 5, Length: 2}, {Start: 0, Length: 2}}},
		"empty":          {Size: 10, Held: []rfc9111.Range{{Start: 0, Length: 4}, {Start: 6, Length: 0}}},
		"beyond":         {Size: 10, Held: []rfc9111.Range{{Start: 7, Length: 4}}},
		"overflowing":    {Size: -1, Held: []rfc9111.Range{{Start: math.MaxInt64, Length: 4}}},
		"another length": {Size: 10, Held: []rfc9111.Range{{Start: 0, Length: 3}}},
	} {
		r := &rfc9111.Response{Header: http.Header{}, Length: 4, Parts: &p}
		if got, err := rfc9111.DecodeResponse(r.Encode(nil)); !errors.Is(err, rfc9111.ErrDamaged) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A length that lies must not make memory.
func TestDecodeAllocates(t *testing.T) {
	small := (&rfc9111.Response{Header: http.Header{}, RequestTime: time.Unix(0, 0), ResponseTime: time.Unix(0, 0)}).Encode(nil)
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	for at := range small {
		lying := append(append(bytes.Clone(small[:at]), huge...), small[at+1:]...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := rfc9111.DecodeResponse(lying)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
			t.Errorf("%d bytes of memory for a lie at %d: %v, %v", n, at, r, err)
		}
	}
}

func FuzzDecodeResponse(f *testing.F) {
	f.Add(fullResponse().Encode(nil))
	f.Add((&rfc9111.Response{Header: http.Header{}}).Encode(nil))
	f.Add((&rfc9111.Response{Header: http.Header{}, Length: 1, Parts: &rfc9111.Parts{Size: -1, Held: []rfc9111.Range{{Start: 3, Length: 1}}}}).Encode(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		r, err := rfc9111.DecodeResponse(src)
		if err != nil {
			return
		}
		again, err := rfc9111.DecodeResponse(r.Encode(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, again, r)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	r := fullResponse()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = r.Encode(buf[:0])
	}
}

func BenchmarkDecodeResponse(b *testing.B) {
	src := fullResponse().Encode(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rfc9111.DecodeResponse(src); err != nil {
			b.Fatal(err)
		}
	}
}
