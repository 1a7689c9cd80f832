package api

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"weir/kv"
)

// maxMany is how long the body of a request for many values may be: all keys at their
// longest, and some escapes.
const maxMany = 2 << 20

// many answers {"get": ["a", "b"]}.
func (v *Values) many(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	src, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	keys, err := decodeKeys(src)
	if err != nil {
		return err
	}
	epoch := v.opts.Epoch() // first: what is missing now was so then
	values, leave, err := v.fetchMany(r.Context(), keys)
	if err != nil {
		return err
	}
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set(fieldEpoch, strconv.FormatUint(epoch, 10))
	shelter(h)
	out := bufio.NewWriterSize(pourer{w}, maxWrite)
	if err := writeMany(out, keys, values, v.opts.Now()); err != nil {
		return err
	}
	return out.Flush()
}

// usualMany is as much as many values are believed to take until they turn out to take more.
const usualMany = 4 << 20

// fetchMany is [Values.fetch] for many.
func (v *Values) fetchMany(ctx context.Context, keys []string) (values []*kv.Value, leave func(), err error) {
	store, err := v.store()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, valueWait)
	defer cancel()
	for _, limit := range []int{usualMany, kv.MaxManyBytes} {
		values, leave, err = v.look(ctx, store, keys, limit)
		if !errors.Is(err, kv.ErrTooMuch) {
			break
		}
	}
	return values, leave, err
}

// look asks for many values of so many bytes together, and returns them with room of their own.
func (v *Values) look(ctx context.Context, store kv.Store, keys []string, limit int) (values []*kv.Value, leave func(), err error) {
	looked, err := v.looking.Take(ctx, int64(limit)+kv.ManyMargin)
	if err != nil {
		return nil, nil, err
	}
	defer looked()
	values, err = store.GetMany(ctx, keys, limit)
	if err != nil {
		return nil, nil, err
	}
	total := int64(0)
	for _, value := range values {
		if value != nil {
			total += int64(len(value.Bytes))
		}
	}
	leave, err = v.room.Take(ctx, total)
	return values, leave, err
}

// pourer is [pour] as a writer.
type pourer struct{ w http.ResponseWriter }

func (p pourer) Write(b []byte) (int, error) {
	if err := pour(p.w, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func decodeKeys(src []byte) ([]string, error) {
	const hint = `Send such as {"get": ["a", "b"]}.`
	fields, err := decodeObject(src)
	if err != nil {
		return nil, badRequest("The body is no JSON object: "+err.Error()+".", hint)
	}
	list, ok := fields["get"]
	var keys []string
	switch {
	case !ok || len(fields) != 1:
		return nil, badRequest("The body has not get alone.", hint)
	case string(list) == "null" || json.Unmarshal(list, &keys) != nil || hasNull(list):
		return nil, badRequest("get is no list of strings.", hint)
	case len(keys) > kv.MaxMany:
		return nil, badRequest(fmt.Sprintf("get has %d keys, more than %d.", len(keys), kv.MaxMany), "Send several requests.")
	}
	return keys, nil
}

// gotten is a value as it stands in an answer. The bytes, which may be many, follow it.
type gotten struct {
	Key      string          `json:"key"`
	Type     string          `json:"type"`
	Metadata json.RawMessage `json:"metadata"` // null without
	Tags     []string        `json:"tags"`
	ETag     string          `json:"etag"`
	Epoch    uint64          `json:"epoch,string"` // beyond what numbers of JavaScript hold
	Age      float64         `json:"age"`
	TTL      *float64        `json:"ttl,omitempty"`      // absent: for ever
	StaleFor *float64        `json:"staleFor,omitempty"` // as weir-stale
	Stale    bool            `json:"stale"`
}

// writeMany writes what was found, one after another: nothing is held twice.
func writeMany(out *bufio.Writer, keys []string, values []*kv.Value, now time.Time) error {
	_, err := out.WriteString(`{"values":[`)
	for i := 0; i < len(keys) && err == nil; i++ {
		if i > 0 {
			_ = out.WriteByte(',') // its error comes with the next
		}
		if values[i] == nil {
			_, err = out.WriteString("null")
			continue
		}
		err = writeOne(out, keys[i], values[i], now)
	}
	if err == nil {
		_, err = out.WriteString("]}\n")
	}
	return err
}

func writeOne(out *bufio.Writer, key string, value *kv.Value, now time.Time) error {
	g := gotten{
		Key: key, Type: value.Type, Metadata: value.Metadata, Tags: value.Tags, ETag: etag(value.Version), Epoch: value.Epoch,
		Age: secondsLeft(age(value, now)), Stale: stale(value, now),
	}
	if g.Tags == nil {
		g.Tags = []string{}
	}
	if !value.Fresh.IsZero() {
		left := secondsLeft(value.Fresh.Sub(now))
		g.TTL = &left
	}
	if left, ok := staleLeft(value, now); ok {
		seconds := secondsLeft(left)
		g.StaleFor = &seconds
	}
	head, err := json.Marshal(g)
	if err != nil {
		return err
	}
	_, _ = out.Write(head[:len(head)-1])
	_, _ = out.WriteString(`,"value":"`)
	coder := base64.NewEncoder(base64.StdEncoding, out)
	_, _ = coder.Write(value.Bytes)
	_ = coder.Close() // a bufio.Writer keeps its first error for the next call
	_, err = out.WriteString(`"}`)
	return err
}
