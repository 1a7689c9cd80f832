package weir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"weir/kv"
)

// node is a node somewhere else, as a store.
type node struct {
	base  *url.URL
	token string
	http  *http.Client
	out   atomic.Bool  // it has not answered: until it is heard of again, nothing is read but by probes
	probe atomic.Int64 // since start, in ns: when the next may ask
	start time.Time
}

// Limits of a conversation with a node.
const (
	dialTimeout  = 2 * time.Second
	readTimeout  = 2 * time.Second  // until a value begins to come: its reader can fetch it instead
	writeTimeout = 10 * time.Second // until a write is acknowledged
	wholeTimeout = 20 * time.Second // of a call
	probePause   = time.Second      // from one probe of a node that is out to the next
	maxMessage   = 64 << 10
)

func newNode(address, token string) (*node, error) {
	base, err := url.Parse(address)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || strings.Trim(base.Path, "/") != "" || base.RawQuery != "" || base.User != nil {
		return nil, fmt.Errorf("weir: Node is %.200q, and should be such as http://127.0.0.1:8081", address)
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		DisableCompression:  true, // bodies are as they are stored
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second, // less than the node's
	}
	return &node{
		base: base, token: token, start: time.Now(),
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// call is a request to a node.
type call struct {
	method, path string // the path is escaped
	query        url.Values
	header       http.Header
	body         []byte
}

// ask sends a call. What is not as wanted becomes an error.
func (n *node) ask(ctx context.Context, c call) (http.Header, []byte, error) {
	limit := writeTimeout
	if c.method == http.MethodGet {
		if limit = readTimeout; n.out.Load() && !n.probes() {
			return nil, nil, fmt.Errorf("%w: %s has not answered and is not back yet", ErrUnavailable, n.base.Host)
		}
	}
	asking, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	late := time.AfterFunc(limit, cancel)
	resp, err := n.send(asking, c)
	late.Stop()
	if err != nil {
		return nil, nil, n.failed(ctx, err)
	}
	n.out.Store(false)
	defer func() { _ = resp.Body.Close() }()
	most := int64(maxMessage)
	if resp.StatusCode == http.StatusOK {
		most = kv.MaxValue
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return nil, nil, n.failed(ctx, err)
	case int64(len(body)) > most:
		return nil, nil, fmt.Errorf("%w: %s answers more than %d bytes", ErrUnavailable, n.base.Host, most)
	case resp.StatusCode >= 300:
		return resp.Header, nil, n.refusal(resp.StatusCode, body)
	}
	return resp.Header, body, nil
}

func (n *node) send(ctx context.Context, c call) (*http.Response, error) {
	at := n.base.Scheme + "://" + n.base.Host + c.path
	if len(c.query) > 0 {
		at += "?" + c.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, c.method, at, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	if c.header != nil {
		req.Header = c.header
	}
	if n.token != "" {
		req.Header.Set("Authorization", "Bearer "+n.token)
	}
	return n.http.Do(req)
}

// failed notes that the node did not answer, unless the caller has left.
func (n *node) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	n.probe.Store(int64(time.Since(n.start) + probePause))
	n.out.Store(true)
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// probes says whether the caller may find out if the node is back.
func (n *node) probes() bool {
	now, next := int64(time.Since(n.start)), n.probe.Load()
	return now >= next && n.probe.CompareAndSwap(next, now+int64(probePause))
}

// refusals are the codes of what a node says that programs can do something about.
var refusals = map[string]error{
	"missing": ErrMissing, "bad-key": ErrKey, "bad-value": ErrInvalid, "too-large": ErrInvalid,
	"condition-failed": ErrCondition, "not-a-number": ErrNotNumber, "overflow": ErrOverflow,
}

// refusal is what a node says in place of an answer.
func (n *node) refusal(status int, body []byte) error {
	var said struct {
		Error struct{ Code, Message, Hint string }
	}
	_ = json.Unmarshal(body, &said) // something between us and the node may say something else
	known := refusals[said.Error.Code]
	switch {
	case errors.Is(known, ErrMissing):
		return ErrMissing
	case known == nil && status >= 500:
		known = ErrUnavailable
	case known == nil:
		return fmt.Errorf("weir: %s answers %d: %.500s %.500s", n.base.Host, status, said.Error.Message, said.Error.Hint)
	}
	return fmt.Errorf("%w: %s answers %d: %.500s %.500s", known, n.base.Host, status, said.Error.Message, said.Error.Hint)
}

// Get asks for a value. The time that it takes to come counts as age.
func (n *node) Get(ctx context.Context, key string) (*kv.Value, error) {
	asked := time.Now()
	h, body, err := n.ask(ctx, call{method: http.MethodGet, path: pathOf(key)})
	if err != nil {
		return nil, err
	}
	v, err := valueOf(h, body, asked)
	if err != nil {
		return nil, fmt.Errorf("%w: %s answers what is no value: %w", ErrUnavailable, n.base.Host, err)
	}
	return v, nil
}

// valueOf is the value in an answer to what was asked at a time.
func valueOf(h http.Header, body []byte, asked time.Time) (*kv.Value, error) {
	v := &kv.Value{Bytes: body, Type: h.Get("Content-Type")}
	if tags := h.Get("Cache-Tag"); tags != "" {
		v.Tags = strings.Split(tags, ",")
	}
	version, badVersion := version(h)
	epoch, badEpoch := strconv.ParseUint(h.Get("Weir-Epoch"), 10, 64)
	v.Version, v.Epoch = version, epoch
	left := h.Get("Weir-Ttl")
	fresh, badFresh := seconds(left)
	stale, badStale := seconds(h.Get("Weir-Stale"))
	if left != "" {
		v.Fresh = asked.Add(fresh)
		v.Until = v.Fresh.Add(stale)
	}
	return v, errors.Join(badVersion, badEpoch, badFresh, badStale)
}

// Set writes a value.
func (n *node) Set(ctx context.Context, key string, d kv.Draft, c kv.Condition) (uint64, error) {
	if err := d.Check(); err != nil { // a node ends the connection of a body that is too large
		return 0, err
	}
	query := url.Values{"tag": d.Tags}
	if d.TTL > 0 {
		query.Set("ttl", secondsText(d.TTL))
	}
	if d.Stale > 0 {
		query.Set("stale", secondsText(d.Stale))
	}
	header := conditionFields(c)
	header.Set("Content-Type", d.Type)
	h, _, err := n.ask(ctx, call{method: http.MethodPut, path: pathOf(key), query: query, header: header, body: d.Bytes})
	if err != nil {
		return 0, err
	}
	return version(h)
}

// Delete removes a value.
func (n *node) Delete(ctx context.Context, key string, c kv.Condition) error {
	_, _, err := n.ask(ctx, call{method: http.MethodDelete, path: pathOf(key), header: conditionFields(c)})
	return err
}

// Incr changes a number.
func (n *node) Incr(ctx context.Context, key string, i kv.Increment) (kv.Count, error) {
	body := `{"by":` + strconv.FormatInt(i.By, 10)
	if i.TTL > 0 {
		body += `,"ttl":` + secondsText(i.TTL)
	}
	asked := time.Now()
	_, answer, err := n.ask(ctx, call{
		method: http.MethodPost, path: pathOf(key) + "/incr", body: []byte(body + "}"),
		header: http.Header{"Content-Type": {"application/json"}},
	})
	if err != nil {
		return kv.Count{}, err
	}
	var said struct {
		Value *int64
		TTL   *float64
	}
	if err := json.Unmarshal(answer, &said); err != nil || said.Value == nil {
		return kv.Count{}, fmt.Errorf("%w: %s answers %.100q", ErrUnavailable, n.base.Host, answer)
	}
	count := kv.Count{Number: *said.Value}
	if said.TTL != nil {
		count.Fresh = asked.Add(time.Duration(*said.TTL * float64(time.Second)))
	}
	return count, nil
}

// purge has all regions forget what has one of the tags, and returns the epoch of that.
func (n *node) purge(ctx context.Context, tags []string) (epoch uint64, err error) {
	order, err := json.Marshal(map[string][]string{"tags": tags})
	if err != nil {
		return 0, err
	}
	_, answer, err := n.ask(ctx, call{method: http.MethodPost, path: "/v1/purge", body: order, header: http.Header{"Content-Type": {"application/json"}}})
	if err != nil {
		return 0, err
	}
	var said struct{ Epoch uint64 }
	if err := json.Unmarshal(answer, &said); err != nil || said.Epoch == 0 {
		return 0, fmt.Errorf("%w: %s answers %.100q", ErrUnavailable, n.base.Host, answer)
	}
	return said.Epoch, nil
}

// pathOf escapes everything that could mean something in a path, dots included.
func pathOf(key string) string {
	return "/v1/kv/" + strings.ReplaceAll(url.PathEscape(key), ".", "%2E")
}

func conditionFields(c kv.Condition) http.Header {
	h := make(http.Header)
	if c.Absent {
		h.Set("If-None-Match", "*")
	}
	if c.Version != 0 {
		h.Set("If-Match", `"`+strconv.FormatUint(c.Version, 10)+`"`)
	}
	if c.Since != 0 {
		h.Set("Weir-If-Epoch", strconv.FormatUint(c.Since, 10))
	}
	return h
}

func version(h http.Header) (uint64, error) {
	return strconv.ParseUint(strings.Trim(h.Get("Etag"), `"`), 10, 64)
}

// secondsText is a time in seconds, exact to the nanosecond.
func secondsText(d time.Duration) string {
	return fmt.Sprintf("%d.%09d", d/time.Second, d%time.Second)
}

// seconds reads a time; "" is none.
func seconds(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || !(s >= 0 && s <= kv.MaxLifetime.Seconds()) { // which is no number either
		return 0, fmt.Errorf("%.40q are no seconds", text)
	}
	return time.Duration(s * float64(time.Second)), nil
}
