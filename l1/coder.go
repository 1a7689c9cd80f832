package l1

import (
	"bytes"
	"io"
	"runtime"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	codingQueue = 16 // what waits is not in the budget any more if it is evicted meanwhile
	codedWindow = 20 // bits: clients can do with more, but objects are small

	// See doc.go for what they were chosen by.
	brotliQuality = 5
	gzipLevel     = 6
	zstdLevel     = zstd.SpeedDefault
)

// coder codes bodies in the background, few at a time.
type coder struct {
	done func(*entry, *object, coding, *form)
	jobs chan codingJob
	stop chan struct{}
	all  sync.WaitGroup
	once sync.Once
}

type codingJob struct {
	entry  *entry
	object *object
	plain  []byte
	coding coding
}

// newCoder starts workers that call done with each result.
func newCoder(done func(*entry, *object, coding, *form)) *coder {
	c := &coder{done: done, jobs: make(chan codingJob, codingQueue), stop: make(chan struct{})}
	for range max(1, runtime.GOMAXPROCS(0)/4) {
		c.all.Go(c.work)
	}
	return c
}

// offer has o, which is plain when decoded, coded once. When there is too much to do
// it is left for a later hit.
func (c *coder) offer(e *entry, o *object, plain []byte, as coding) {
	if c == nil { // in a rehearsal
		return
	}
	slot := o.slot(as)
	if slot.Load() != nil || !slot.CompareAndSwap(nil, underWay) {
		return
	}
	select {
	case c.jobs <- codingJob{e, o, plain, as}:
	default:
		slot.Store(nil)
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
			body, err := w.encode(job.coding, job.plain)
			if err != nil || len(body)*100 > len(job.plain)*maxCodedShare {
				job.object.slot(job.coding).Store(notWorthIt)
				continue
			}
			c.done(job.entry, job.object, job.coding, newForm(job.coding, body, &job.object.head.opened().resp))
		}
	}
}

// encoders are one worker's. They keep their tables and room from one body to the next.
type encoders struct {
	zstd   *zstd.Encoder
	gzip   *gzip.Writer
	brotli *brotli.Writer
	room   bytes.Buffer
}

// encode returns a body of its own, without room to spare.
func (w *encoders) encode(as coding, body []byte) ([]byte, error) {
	w.room.Reset()
	w.room.Grow(len(body)) // more is not worth keeping
	switch as {
	case gzipCoding:
		if w.gzip == nil {
			var err error
			if w.gzip, err = gzip.NewWriterLevel(&w.room, gzipLevel); err != nil {
				return nil, err
			}
		}
		return w.finish(w.gzip, body)
	case brotliCoding:
		if w.brotli == nil {
			w.brotli = brotli.NewWriterOptions(&w.room, brotli.WriterOptions{Quality: brotliQuality, LGWin: codedWindow})
		}
		return w.finish(w.brotli, body)
	}
	if w.zstd == nil {
		var err error
		w.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<codedWindow),
			zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, err
		}
	}
	return bytes.Clone(w.zstd.EncodeAll(body, w.room.AvailableBuffer())), nil
}

// encoder is one of those that write.
type encoder interface {
	io.WriteCloser
	Reset(w io.Writer)
}

func (w *encoders) finish(enc encoder, body []byte) ([]byte, error) {
	enc.Reset(&w.room)
	if _, err := enc.Write(body); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(w.room.Bytes()), nil
}
