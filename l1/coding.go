package l1

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"weir/rfc9111"
)

// coded is a body in a coding, with the head that goes with it. A key includes
// which codings its clients accept, so an object needs only one.
type coded struct {
	name string
	head *rfc9111.Response
	body []byte
	cost int64
}

var (
	underWay   = &coded{} // somebody is at it
	notWorthIt = &coded{} // tried, and not smaller by enough
)

const (
	minCodable    = 1 << 10
	maxCodedShare = 90      // of the identity body's size, in percent
	codingQueue   = 16      // what waits is not in the budget any more if it is evicted meanwhile
	zstdWindow    = 1 << 20 // RFC 9659 allows clients 8 MiB; objects are small
)

// preferredCoding picks from a normalised Accept-Encoding.
func preferredCoding(accepted string) string {
	switch {
	case strings.Contains(accepted, "zstd"):
		return "zstd"
	case strings.Contains(accepted, "gzip"):
		return "gzip"
	default:
		return ""
	}
}

// unfitFields say that a body has a coding already, or is vouched for as it is.
var unfitFields = [...]string{"Content-Encoding", "Content-Range", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5"}

// codable says whether a response may be coded for clients, and is likely to gain.
func codable(resp *rfc9111.Response, body []byte) bool {
	if len(body) < minCodable || refusesTransform(resp.Header) {
		return false
	}
	for _, name := range unfitFields {
		if resp.Header[name] != nil {
			return false
		}
	}
	return compressible(resp.Header.Get("Content-Type"))
}

func compressible(mediaType string) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	if strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "+json") || strings.HasSuffix(mediaType, "+xml") {
		return true
	}
	switch mediaType {
	case "application/json", "application/javascript", "application/x-javascript", "application/xml",
		"application/x-ndjson", "application/wasm", "application/rtf", "application/graphql",
		"application/vnd.ms-fontobject", "application/x-font-ttf", "font/ttf", "font/otf", "font/sfnt",
		"image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	default:
		return false
	}
}

// newCoded makes the head for a coded body, RFC 9110 8.4 and 8.8.3.3: another
// representation, so not under the same strong entity tag, and chosen by Accept-Encoding.
func newCoded(name string, body []byte, identity *rfc9111.Response) *coded {
	head := *identity
	head.Header = identity.Header.Clone()
	head.Length = int64(len(body))
	head.Header["Content-Encoding"] = []string{name}
	if head.Header["Content-Length"] != nil {
		head.Header["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if tag := head.Header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		head.Header["Etag"] = []string{"W/" + tag}
	}
	if !listed(head.Header["Vary"], "accept-encoding") {
		head.Header["Vary"] = append(head.Header["Vary"], "accept-encoding")
	}
	cost := objectOverhead + int64(cap(body)) + headCost(&head)
	return &coded{name: name, head: &head, body: body, cost: cost}
}

// listed says whether name is a member of a comma-separated field.
func listed(lines []string, name string) bool {
	for _, line := range lines {
		for item, more := "", true; more; {
			item, line, more = strings.Cut(line, ",")
			if strings.EqualFold(strings.TrimSpace(item), name) {
				return true
			}
		}
	}
	return false
}

// coder codes bodies in the background, few at a time.
type coder struct {
	done func(*entry, *object, *coded)
	jobs chan codingJob
	stop chan struct{}
	all  sync.WaitGroup
	once sync.Once
}

type codingJob struct {
	entry  *entry
	object *object
	name   string
}

// newCoder starts workers that call done with each result.
func newCoder(done func(*entry, *object, *coded)) *coder {
	c := &coder{done: done, jobs: make(chan codingJob, codingQueue), stop: make(chan struct{})}
	for range max(1, runtime.GOMAXPROCS(0)/4) {
		c.all.Go(c.work)
	}
	return c
}

// offer has o coded once. When there is too much to do it is left for a later hit.
func (c *coder) offer(e *entry, o *object, name string) {
	if !o.coded.CompareAndSwap(nil, underWay) {
		return
	}
	select {
	case c.jobs <- codingJob{e, o, name}:
	default:
		o.coded.Store(nil)
	}
}

func (c *coder) close() {
	c.once.Do(func() { close(c.stop) })
	c.all.Wait()
}

func (c *coder) work() {
	var w encoders
	for {
		select {
		case <-c.stop:
			return
		case job := <-c.jobs:
			body, err := w.encode(job.name, job.object.body)
			if err != nil || len(body)*100 > len(job.object.body)*maxCodedShare {
				job.object.coded.Store(notWorthIt)
				continue
			}
			c.done(job.entry, job.object, newCoded(job.name, body, job.object.resp))
		}
	}
}

// encoders are one worker's. They keep their tables and room from one body to the next.
type encoders struct {
	zstd *zstd.Encoder
	gzip *gzip.Writer
	room bytes.Buffer
}

// encode returns a body of its own, without room to spare.
func (w *encoders) encode(name string, body []byte) ([]byte, error) {
	w.room.Reset()
	w.room.Grow(len(body)) // more is not worth keeping
	if name == "gzip" {
		return w.encodeGzip(body)
	}
	if w.zstd == nil {
		var err error
		w.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, err
		}
	}
	return bytes.Clone(w.zstd.EncodeAll(body, w.room.AvailableBuffer())), nil
}

func (w *encoders) encodeGzip(body []byte) ([]byte, error) {
	if w.gzip == nil {
		w.gzip = gzip.NewWriter(&w.room)
	}
	w.gzip.Reset(&w.room)
	if _, err := w.gzip.Write(body); err != nil {
		return nil, err
	}
	if err := w.gzip.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(w.room.Bytes()), nil
}
