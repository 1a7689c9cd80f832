package kv_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"weir/kv"
)

// records are some, each with the bytes that disks have of it. They never change.
var records = []struct {
	value kv.Value
	bytes string
}{
	{kv.Value{Version: 1}, "\x01\x01\x00\x00\x00\x00\x00\x00\x00"},
	{
		kv.Value{
			Bytes: []byte("bytes"), Type: "a/b", Metadata: json.RawMessage(`{}`), Tags: []string{"t", "uv"},
			Version: 300, Epoch: 2, Written: time.Unix(0, 1), Fresh: time.Unix(0, 100), Until: time.Unix(0, -1),
		},
		"\x01\xac\x02\x02\x02\xc8\x01\x01\x03a/b\x02{}\x02\x01t\x02uvbytes",
	},
}

func TestRecordsOnDisk(t *testing.T) {
	for _, r := range records {
		if got := kv.EncodeRecord(&r.value); string(got) != r.bytes {
			t.Errorf("%+v is %q, want %q", r.value, got, r.bytes)
		}
		got, err := kv.DecodeRecord([]byte(r.bytes))
		if err != nil {
			t.Fatal(err)
		}
		if r.value.Bytes == nil {
			r.value.Bytes = []byte{}
		}
		if !reflect.DeepEqual(*got, r.value) {
			t.Errorf("%q is %+v, want %+v", r.bytes, *got, r.value)
		}
		for n := range len(r.bytes) - len(r.value.Bytes) {
			if _, err := kv.DecodeRecord([]byte(r.bytes[:n])); err == nil {
				t.Errorf("%q is taken for a record", r.bytes[:n])
			}
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range records {
		f.Add([]byte(r.bytes))
	}
	f.Add([]byte("\x02\x01"))
	f.Add([]byte("\x01\x01\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x0f"))
	f.Add([]byte("\x01\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00x"))
	f.Fuzz(func(t *testing.T, src []byte) {
		v, err := kv.DecodeRecord(bytes.Clone(src))
		if err != nil {
			return
		}
		again, err := kv.DecodeRecord(kv.EncodeRecord(v))
		if err != nil || !reflect.DeepEqual(v, again) {
			t.Errorf("%q: %+v comes back as %+v: %v", src, v, again, err)
		}
		if len(v.Type) > kv.MaxType || len(v.Metadata) > kv.MaxMetadata || len(v.Tags) > kv.MaxTags || !bytes.HasSuffix(src, v.Bytes) {
			t.Errorf("%q: %+v breaks the limits", src, v)
		}
	})
}

// A record that cannot be read is an error that says so, not a missing value: what depends on
// it changes nothing. It can be replaced.
func TestARecordThatCannotBeRead(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	p.disk.records["k"] = []byte("\x07 of a later version")
	for name, call := range map[string]func() error{
		"get":         func() error { _, err := p.Get(ctx, "k"); return err },
		"get many":    func() error { _, err := p.GetMany(ctx, []string{"k"}, kv.MaxManyBytes); return err },
		"set":         func() error { _, err := p.Set(ctx, "k", text("v"), kv.Condition{Absent: true}); return err },
		"delete":      func() error { return p.Delete(ctx, "k", kv.Condition{}) },
		"incr":        func() error { _, err := p.Incr(ctx, "k", kv.Increment{By: 1}); return err },
		"conditional": func() error { _, err := p.Set(ctx, "k", text("v"), kv.Condition{Since: p.log.Current()}); return err },
	} {
		if err := call(); err == nil || errors.Is(err, kv.ErrMissing) || !bytes.Contains([]byte(err.Error()), []byte("format is 7")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	set(t, p, "k", text("v"))
	wantText(t, p, "k", "v")
}

// A write that the disk or the log could not make durable is not acknowledged, and no condition
// depends on it afterwards.
func TestWritesThatFail(t *testing.T) {
	p := newPlace(t)
	full := errors.New("no space left")
	set(t, p, "k", text("1"))
	p.disk.fail = full
	ctx := t.Context()
	_, setErr := p.Set(ctx, "k", text("2"), kv.Condition{})
	_, incrErr := p.Incr(ctx, "k", kv.Increment{By: 1})
	_, getErr := p.Get(ctx, "k")
	for _, err := range []error{setErr, incrErr, getErr, p.Delete(ctx, "k", kv.Condition{})} {
		if !errors.Is(err, full) {
			t.Errorf("%v", err)
		}
	}
	p.disk.fail = nil
	wantText(t, p, "k", "1")
	since := p.log.Current()
	if _, err := p.Set(ctx, "k", text("2"), kv.Condition{Since: since}); err != nil {
		t.Errorf("a write that failed is still waited for: %v", err)
	}
	p.log.fail = full
	if _, err := p.Set(ctx, "k", text("3"), kv.Condition{}); !errors.Is(err, full) {
		t.Errorf("acknowledged without the log: %v", err)
	}
	if _, err := kv.NewKeeper(p.disk, p.log, kv.KeeperOptions{}); !errors.Is(err, full) {
		t.Errorf("a keeper that could tell nobody: %v", err)
	}
	if _, err := kv.NewKeeper(newDisk(), p.log, kv.KeeperOptions{Unwritten: true}); err != nil {
		t.Errorf("a keeper that has nothing to tell: %v", err)
	}
	p.log.fail = nil
	left, cancel := context.WithCancelCause(ctx)
	cancel(full)
	before := slices.Clone(p.disk.records["k"])
	_, setErr = p.Set(left, "k", text("4"), kv.Condition{})
	if _, getErr = p.Get(left, "k"); !errors.Is(setErr, full) || !errors.Is(getErr, full) || !bytes.Equal(before, p.disk.records["k"]) {
		t.Errorf("a caller that has left: %v, %v", setErr, getErr)
	}
}
