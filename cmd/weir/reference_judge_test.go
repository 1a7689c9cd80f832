package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// A licence is what HTTP lets a cache do otherwise than its origin does.
type licence uint

const (
	// RFC 9110 14.2: "A server MAY ignore the Range header field."
	rangeIgnored licence = 1 << iota
	// RFC 9110 14.2: caches ought to support ranges; of what is stored whole there are some whether the origin serves any or not.
	rangeAdded
	// RFC 9111 4.3.2: where the stored response has no Last-Modified, its Date is compared with If-Modified-Since.
	dateStandsIn
	// RFC 9110 12.5.3: a representation without a coding is acceptable unless it is excluded, and the server chooses.
	identityChosen
	// RFC 9110 7.7: a proxy may transform content unless no-transform forbids it; 8.8.3.3: what it makes is another
	// representation, with another entity tag or a weak one.
	recoded
	licences
)

var licenceNames = []string{"range ignored", "range added", "Date stands in", "identity chosen", "recoded"}

// exchange is a query and its answer, to be judged.
type exchange struct {
	state  string
	query  query
	on     *resource
	got    answered
	usable []int // versions
	now    time.Time
}

// judge compares what comes through the cache with what the reference says.
type judge struct {
	fetch func(query) (answered, error) // through the cache

	mu     sync.Mutex
	wholes map[string][][]byte // whole bodies of the cache's own making, by resource, version and coding
	strong map[string][]byte   // whole bodies by strong entity tag
	counts map[string]int
}

// compare says how an answer differs from every one that HTTP allows, nil if not from all.
func (j *judge) compare(x *exchange) error {
	masks := make([]licence, licences)
	for i := range masks {
		masks[i] = licence(i)
	}
	slices.SortFunc(masks, func(a, b licence) int {
		return cmp.Or(bits.OnesCount(uint(a))-bits.OnesCount(uint(b)), int(a)-int(b))
	})
	var first error
	for _, used := range masks {
		for _, version := range x.usable {
			err := j.against(x, version, used)
			if err == nil {
				j.count(x, used)
				return errors.Join(unforced(x, used), j.unambiguous(x))
			}
			if first == nil {
				first = err
			}
		}
	}
	return first
}

func (j *judge) count(x *exchange, used licence) {
	j.note(x.state)
	j.note(x.state + ": " + cmp.Or(x.got.header.Get("X-Cache"), "nothing said"))
	for i, name := range licenceNames {
		if used&(1<<i) != 0 {
			j.note(x.state + ": " + name)
		}
	}
}

func (j *judge) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[what]++
}

// unforced says that weir has used a licence that it does not need: of what is stored it serves every range, unless
// If-Range has a date, which a coded form would share, or it is decoded on its way.
func unforced(x *exchange, used licence) error {
	streamed := x.got.header.Get("Content-Length") == "" // as it is decoded
	dated := x.query.header["If-Range"] != nil && !strings.Contains(x.query.header.Get("If-Range"), `"`)
	if used&rangeIgnored != 0 && x.got.header.Get("X-Cache") == "hit" && !dated && !streamed {
		return errors.New("the range is ignored, and all of it is stored")
	}
	return nil
}

func (j *judge) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(j.counts)) {
		fmt.Fprintf(&b, "\n%7d %s", j.counts[name], name)
	}
	return b.String()
}

var errNotApplicable = errors.New("this licence is about something else")

// against compares with the reference's answer about a version, under some licences.
func (j *judge) against(x *exchange, version int, used licence) error {
	q, h, rep := x.query, x.query.header, x.on.form(version, x.on.negotiate(x.query.header))
	if used&(rangeIgnored|rangeAdded) != 0 && (h["Range"] == nil || q.method != http.MethodGet) {
		return errNotApplicable
	}
	if used&identityChosen != 0 {
		if rep.coding == "" || x.on.gzip != "offered" {
			return errNotApplicable
		}
		rep = x.on.form(version, "")
	}
	if used&rangeIgnored != 0 {
		h = h.Clone()
		delete(h, "Range")
	}
	if used&rangeAdded != 0 {
		rep.ranges = true
	}
	if used&dateStandsIn != 0 {
		date, ok := dateIn(x.got.header, "Date")
		if !ok || !rep.modified.IsZero() || h["If-Modified-Since"] == nil {
			return errNotApplicable
		}
		rep.arrived = date
	}
	if used&recoded == 0 {
		return differ(x.got, x.on.answer(q.method, h, rep, x.now), rep)
	}
	forms, err := j.recoded(x, rep)
	for i, form := range forms {
		if err = differ(x.got, x.on.answer(q.method, h, form, x.now), form); err == nil {
			if i == len(forms)-1 && form.coding != "" && (x.got.status != http.StatusOK || q.method == http.MethodHead) {
				j.note(guessed)
			}
			return nil
		}
	}
	return err
}

// guessed counts the answers of which not all could be compared.
const guessed = "guessed: the whole body has not been seen"

// recoded returns the representations that the cache may have made of rep.
func (j *judge) recoded(x *exchange, rep representation) ([]representation, error) {
	coding, identity := x.got.header.Get("Content-Encoding"), x.on.form(rep.version, "").body
	switch {
	case strings.HasPrefix(x.on.path, "/uncoded/"), x.on.gzip == "" && coding == "" && x.got.status < 300:
		return nil, errNotApplicable // what is plain may also be the coded form without its coding
	case coding != "" && !acceptsCoding(x.query.header, coding):
		return nil, fmt.Errorf("%s is not accepted", coding)
	}
	// Its tag is weak, or one that the reference has never given. An answer without one is made of either form.
	var tags []string
	if tag := x.got.header.Get("Etag"); rep.tag == "" || tag != "" {
		tags = []string{tag}
	} else {
		for _, made := range []string{rep.coding, "gzip"} {
			tags = append(tags, "W/"+strings.TrimPrefix(x.on.form(rep.version, made).tag, "W/"))
		}
	}
	if x.on.bodyOf(tags[0]) != nil {
		return nil, fmt.Errorf("%s is the tag of another representation", tags[0])
	}
	key := x.on.path + " " + strconv.Itoa(rep.version) + " " + coding
	rep.coding, rep.ranges = coding, true
	var bodies [][]byte
	switch {
	case coding == "":
		bodies = [][]byte{identity}
	case x.got.status == http.StatusOK && x.query.method == http.MethodGet:
		if err := decodes(coding, x.got.body, identity); err != nil {
			return nil, err
		}
		j.remember(key, x.got.body)
		bodies = [][]byte{x.got.body}
	default: // of which only a part is here
		if err := j.learn(x, coding, key, identity); err != nil {
			return nil, err
		}
		bodies = append(slices.Clip(j.seen(key)), x.guess())
	}
	var forms []representation
	for _, body := range bodies {
		for _, tag := range tags {
			rep.body, rep.tag = body, tag
			forms = append(forms, rep)
		}
	}
	return forms, fmt.Errorf("no whole body in %q is known", coding)
}

// guess makes a body with what the answer tells of it. The cache may have put another one in its place since.
func (x *exchange) guess() []byte {
	if length, err := strconv.Atoi(x.got.header.Get("Content-Length")); x.query.method == http.MethodHead && err == nil {
		return make([]byte, length)
	}
	var whole []byte
	pieces, _ := piecesOf(x.got) // none that can be read, no body
	for _, p := range pieces {
		if whole == nil {
			whole = make([]byte, p.size)
		}
		if p.to <= len(whole) && p.from <= p.to {
			copy(whole[p.from:p.to], p.body)
		}
	}
	return whole
}

// learn gets the whole of what x has a part of, in case it is not known yet.
func (j *judge) learn(x *exchange, coding, key string, identity []byte) error {
	whole, err := j.fetch(plain(x.on, x.query.header.Get("Accept-Encoding")))
	if err == nil && whole.header.Get("Content-Encoding") == coding && decodes(coding, whole.body, identity) == nil {
		j.remember(key, whole.body)
	}
	return err
}

func (j *judge) remember(key string, body []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.ContainsFunc(j.wholes[key], func(b []byte) bool { return bytes.Equal(b, body) }) {
		j.wholes[key] = append(j.wholes[key], body)
	}
}

func (j *judge) seen(key string) [][]byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.wholes[key]
}

// decodes says why a coded body is not that of an identity one.
func decodes(coding string, body, identity []byte) error {
	var r io.Reader = bytes.NewReader(body)
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	case "br":
		r = brotli.NewReader(r)
	default:
		return fmt.Errorf("coding %q", coding)
	}
	plain, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(plain, identity) {
		err = fmt.Errorf("what is in %s is not what is coded", coding)
	}
	return err
}

// unambiguous says whether a strong entity tag has been seen on other bytes, RFC 9110 8.8.1.
func (j *judge) unambiguous(x *exchange) error {
	tag := x.got.header.Get("Etag")
	if tag == "" || strings.HasPrefix(tag, "W/") || x.query.method != http.MethodGet {
		return nil
	}
	key := x.on.path + " " + tag
	j.mu.Lock()
	defer j.mu.Unlock()
	known := x.on.bodyOf(tag)
	if known == nil {
		known = j.strong[key]
	}
	switch {
	case x.got.status == http.StatusOK && known == nil:
		j.strong[key] = x.got.body
	case x.got.status == http.StatusOK && !bytes.Equal(known, x.got.body):
		return fmt.Errorf("%s is the tag of other bytes", tag)
	case x.got.status == http.StatusPartialContent && known != nil:
		parts, err := piecesOf(x.got)
		if err != nil || !fit(parts, known) {
			return fmt.Errorf("%s is the tag of other bytes, %w", tag, err)
		}
	}
	return nil
}

// differ says how got differs from want, which is made of rep.
func differ(got, want answered, rep representation) error {
	if got.status != want.status {
		return fmt.Errorf("status %d, want %d", got.status, want.status)
	}
	fields := []string{"Etag", "Cache-Control"} // RFC 9110 15.4.5
	switch got.status {
	case http.StatusOK:
		fields = append(fields, "Last-Modified", "Content-Type", "Content-Encoding", "X-Version")
		if !bytes.Equal(got.body, want.body) {
			return fmt.Errorf("a body of %d bytes, want %d", len(got.body), len(want.body))
		}
		// RFC 9110 8.6: a server may leave it out, in an answer to HEAD above all.
		if length := got.header.Get("Content-Length"); length != "" && length != want.header.Get("Content-Length") {
			return fmt.Errorf("Content-Length %s, want %s", length, want.header.Get("Content-Length"))
		}
	case http.StatusPartialContent:
		fields = append(fields, "Content-Encoding", "X-Version")
		if err := differInParts(got, want, rep.body); err != nil {
			return err
		}
	case http.StatusNotModified:
		if len(got.body) > 0 {
			return errors.New("a 304 with a body")
		}
	case http.StatusPreconditionFailed:
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		fields = []string{"Content-Range"}
	}
	for _, name := range fields {
		if g, w := strings.Join(got.header[name], ", "), strings.Join(want.header[name], ", "); g != w {
			return fmt.Errorf("%s is %q, want %q", name, g, w)
		}
	}
	if want.header["Vary"] != nil && !strings.Contains(strings.ToLower(strings.Join(got.header["Vary"], ",")), "accept-encoding") {
		return fmt.Errorf("Vary is %q", got.header["Vary"])
	}
	return nil
}

// piece is a part of a representation of size bytes.
type piece struct {
	span
	size int
	body []byte
}

// piecesOf reads a 206.
func piecesOf(a answered) ([]piece, error) {
	mediaType, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/byteranges" {
		p, err := pieceOf(a.header.Get("Content-Range"), a.body)
		return []piece{p}, err
	}
	if a.header["Content-Range"] != nil {
		return nil, errors.New("Content-Range on a multipart, RFC 9110 15.3.7.2") //nolint:staticcheck // a field's name
	}
	var out []piece
	for reader := multipart.NewReader(bytes.NewReader(a.body), params["boundary"]); ; {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		p, err := pieceOf(part.Header.Get("Content-Range"), body)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
}

func pieceOf(field string, body []byte) (p piece, err error) {
	if _, err := fmt.Sscanf(field, "bytes %d-%d/%d", &p.from, &p.to, &p.size); err != nil {
		return p, fmt.Errorf("Content-Range %q: %w", field, err) //nolint:staticcheck // a field's name
	}
	p.to++
	p.body = body
	return p, nil
}

// fit says whether pieces are of a body.
func fit(pieces []piece, whole []byte) bool {
	for _, p := range pieces {
		if p.size != len(whole) || p.from < 0 || p.to > p.size || p.from > p.to || !bytes.Equal(p.body, whole[p.from:p.to]) {
			return false
		}
	}
	return true
}

// differInParts compares which bytes two 206 hold. How they are cut may differ, RFC 9110 15.3.7.2.
func differInParts(got, want answered, whole []byte) error {
	parts, err := piecesOf(got)
	if err != nil {
		return err
	}
	if !fit(parts, whole) {
		return errors.New("parts that are not of this representation")
	}
	wanted, err := piecesOf(want)
	if err != nil {
		return err
	}
	if g, w := union(parts), union(wanted); !slices.Equal(g, w) {
		return fmt.Errorf("bytes %v, want %v", g, w)
	}
	return nil
}

// union joins spans that overlap or touch.
func union(pieces []piece) (out []span) {
	slices.SortFunc(pieces, func(a, b piece) int { return a.from - b.from })
	for _, p := range pieces {
		if n := len(out); n > 0 && p.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, p.to)
		} else {
			out = append(out, p.span)
		}
	}
	return out
}
