package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/api/peer"
	"weir/kv"
)

// put keeps the body of a request. Nothing is kept of one that does not come whole.
func (v *Values) put(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(r, "")
	if err != nil {
		return err
	}
	var d kv.Draft
	if err := readDraft(r.URL.RawQuery, &d); err != nil {
		return err
	}
	if d.Type, err = single(r.Header, "Content-Type"); err != nil {
		return err
	}
	if d.Metadata, err = metadataOf(r.Header); err != nil {
		return err
	}
	cond, err := writeCondition(r.Header)
	if err != nil {
		return err
	}
	store, err := v.store()
	if err != nil {
		return err
	}
	body, leave, err := v.receive(w, r)
	if err != nil {
		return err
	}
	defer leave()
	d.Bytes = body
	version, err := store.Set(r.Context(), key, d, cond)
	if err != nil {
		return err
	}
	w.Header().Set("Etag", etag(version))
	v.done(w)
	return nil
}

// done answers a write that has nothing else to say.
func (v *Values) done(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

func writeCondition(h http.Header) (kv.Condition, error) {
	all, err := readConditions(h)
	if err != nil {
		return kv.Condition{}, err
	}
	cond, fails, err := all.ofWrite()
	if fails {
		err = conditionFailed
	}
	return cond, err
}

// single is a field that may stand once.
func single(h http.Header, name string) (string, error) {
	switch values := h[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", badValue(name+" stands twice; send it once", nil)
}

func metadataOf(h http.Header) (json.RawMessage, error) {
	text, err := single(h, fieldMetadata)
	if err != nil || text == "" {
		return nil, err
	}
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return nil, badValue(`weir-metadata is no JSON; send such as {"by": "ann"}`, nil)
	}
	return json.RawMessage(text), nil
}

// receive reads a value. One that is too large is refused before it has come, and a large one
// waits for room before it is read.
func (v *Values) receive(w http.ResponseWriter, r *http.Request) (body []byte, leave func(), err error) {
	if r.ContentLength > kv.MaxValue {
		return nil, nil, tooLarge
	}
	src := &patient{src: r.Body, rc: http.NewResponseController(w)}
	room, first := r.ContentLength, []byte(nil)
	if room < 0 {
		first = make([]byte, peer.SmallValue+1)
		n, err := io.ReadFull(src, first)
		first = first[:n]
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return first, func() {}, src.failed()
		}
		room = kv.MaxValue
	}
	ctx, cancel := context.WithTimeout(r.Context(), valueWait)
	defer cancel()
	if leave, err = v.room.Take(ctx, room); err != nil {
		return nil, nil, err
	}
	rest := bytes.NewBuffer(first)
	if rest.Cap() < int(room) && r.ContentLength >= 0 {
		rest.Grow(int(room))
	}
	_, err = rest.ReadFrom(io.LimitReader(src, kv.MaxValue+1-int64(len(first))))
	switch {
	case err == nil && rest.Len() <= kv.MaxValue:
		return rest.Bytes(), leave, nil
	case err == nil:
		err = tooLarge
	default:
		err = cutShort(err)
	}
	leave()
	return nil, nil, err
}

// patient gives a client its time for each piece of a body.
type patient struct {
	src io.Reader
	rc  *http.ResponseController
	err error // but for the end
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(time.Now().Add(valueStall)) // not every ResponseWriter of tests has one
	n, err := p.src.Read(b)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		p.err = err
	}
	return n, err
}

func (p *patient) failed() error {
	if p.err != nil {
		return cutShort(p.err)
	}
	return nil
}

func (v *Values) remove(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	key, err := keyOf(r, "")
	if err != nil {
		return err
	}
	cond, err := writeCondition(r.Header)
	if err != nil {
		return err
	}
	if cond.Absent {
		return badRequest("DELETE takes no If-None-Match.", "Leave it out: what is missing is not deleted.")
	}
	store, err := v.store()
	if err != nil {
		return err
	}
	if err := store.Delete(r.Context(), key, cond); err != nil {
		return err
	}
	v.done(w)
	return nil
}

// maxIncr is how long the body of an increment may be.
const maxIncr = 4 << 10

const pathIncr = "/incr"

// incr answers POST. Its body may be left out.
func (v *Values) incr(w http.ResponseWriter, r *http.Request) error {
	if !strings.HasSuffix(strings.TrimPrefix(r.URL.EscapedPath(), pathValues), pathIncr) {
		return &fault{
			status: 405, code: "method-not-allowed", message: "A value does not take POST.",
			hint: "PUT stores a value, POST to /v1/kv/KEY/incr adds to a number.",
		}
	}
	if err := noQuery(r); err != nil {
		return err
	}
	key, err := keyOf(r, pathIncr)
	if err != nil {
		return err
	}
	src, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	inc, err := decodeIncrement(src)
	if err != nil {
		return err
	}
	store, err := v.store()
	if err != nil {
		return err
	}
	count, err := store.Incr(r.Context(), key, inc)
	if err != nil {
		return err
	}
	w.Header().Set("Etag", etag(count.Version))
	answer := struct {
		Value int64    `json:"value"`
		TTL   *float64 `json:"ttl,omitempty"`
	}{Value: count.Number}
	if !count.Fresh.IsZero() {
		left := secondsLeft(count.Fresh.Sub(v.opts.Now()))
		answer.TTL = &left
	}
	return writeJSON(w, http.StatusOK, answer)
}

// decodeIncrement reads {"by": 1, "ttl": 60}, both of which may be left out.
func decodeIncrement(src []byte) (inc kv.Increment, err error) {
	inc.By = 1
	if len(bytes.TrimSpace(src)) == 0 {
		return inc, nil
	}
	const hint = `Send such as {"by": 1, "ttl": 60}, or nothing to count by 1.`
	fields, err := decodeObject(src)
	if err != nil {
		return inc, badRequest("The body is no JSON object: "+err.Error()+".", hint)
	}
	for name, value := range fields {
		ok := false
		switch name {
		case "by":
			inc.By, err = strconv.ParseInt(string(value), 10, 64)
			if ok = err == nil; !ok {
				return inc, badRequest("by is no whole number of 64 bits.", hint)
			}
		case "ttl":
			if inc.TTL, ok = parseSeconds(string(value)); !ok {
				return inc, badRequest("ttl is no number of seconds such as 60 or 0.5.", hint)
			}
			if inc.TTL == 0 {
				return inc, errZeroTTL
			}
		default:
			return inc, badRequest("The body has a field besides by and ttl.", hint)
		}
	}
	return inc, nil
}

// decodeObject reads one JSON object, strictly: no name stands twice, and nothing follows.
func decodeObject(src []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(src))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.New("it does not begin with {")
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if _, twice := fields[name]; twice {
			return nil, errors.New("a name stands twice")
		}
		fields[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("it does not end")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind it")
	}
	return fields, nil
}
