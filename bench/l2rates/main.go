// L2rates measures the disk tier alone: how fast objects of several sizes are stored and read back, how many
// bytes are written for each byte stored, how long a folder with many small objects takes to open, and how much
// memory its index takes.
//
//	go run ./bench/l2rates [-bytes 512] [-objects 1000000]
//
// The folders are made under TMPDIR (choose the disk to be measured; a tmpfs measures the processor) and removed
// afterwards.
//
// How to read it: "store" is from the first Create until everything is durable, fsync included, by -writers
// goroutines; bodies do not compress. "written" is the bytes given to write calls for each byte of a body. "read" is
// random look-ups of whole objects by -readers goroutines from the page cache, every checksum checked; "read while
// storing" is the same while one goroutine stores all the time. The open time is of a folder that was closed cleanly,
// the page cache warm.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/keying"
	"weir/l2"
	"weir/rfc9111"
)

var (
	megabytes = flag.Int64("bytes", 512, "MiB to store for each size")
	objects   = flag.Int("objects", 1_000_000, "small objects in the folder that is opened")
	writers   = flag.Int("writers", 8, "goroutines that store")
	readers   = flag.Int("readers", 4, "goroutines that read")
	duration  = flag.Duration("duration", 2*time.Second, "of each read measurement")
)

func main() {
	flag.Parse()
	fmt.Println("| body | store MB/s | store objects/s | written | read objects/s | read MB/s " +
		"| read while storing, objects/s | storing meanwhile, MB/s |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, size := range []int{1 << 10, 8 << 10, 64 << 10, 1 << 20} {
		if err := rates(size); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println()
	if err := opening(*objects); err != nil {
		log.Fatal(err)
	}
}

func rates(size int) error {
	return withStore(func(s *l2.Store, _ string) error {
		n := int(*megabytes << 20 / int64(size))
		before, start := written(), time.Now()
		if err := storeAll(s, n, size); err != nil {
			return err
		}
		took := time.Since(start).Seconds()
		amplification := float64(written()-before) / float64(n*size)
		alone, err := readFor(s, n, nil)
		if err != nil {
			return err
		}
		var stored atomic.Int64
		mixed, err := readFor(s, n, func(stop <-chan struct{}) error {
			data := random(size)
			for i := n; ; i++ {
				select {
				case <-stop:
					return s.Sync()
				default:
				}
				if err := store(s, i, data); err != nil {
					return err
				}
				stored.Add(1)
			}
		})
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.0f | %.0f | %.2fx | %.0f | %.0f | %.0f | %.0f |\n", sizeName(size),
			float64(n*size)/took/1e6, float64(n)/took, amplification,
			alone, alone*float64(size)/1e6, mixed, float64(stored.Load())*float64(size)/duration.Seconds()/1e6)
		return nil
	})
}

func sizeName(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func storeAll(s *l2.Store, n, size int) error {
	var next atomic.Int64
	return parallel(*writers, func(int) error {
		data := random(size)
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return s.Sync()
			}
			if err := store(s, i, data); err != nil {
				return err
			}
		}
	})
}

// readFor reads random objects for a while, beside another activity if there is one, and returns objects a second.
func readFor(s *l2.Store, n int, beside func(stop <-chan struct{}) error) (float64, error) {
	stop := make(chan struct{})
	var count atomic.Int64
	failed := make(chan error, 1)
	if beside != nil {
		go func() { failed <- beside(stop) }()
	} else {
		failed <- nil
	}
	time.AfterFunc(*duration, func() { close(stop) })
	err := parallel(*readers, func(worker int) error {
		r := rand.New(rand.NewPCG(uint64(worker), 1))
		var buf []byte
		for {
			select {
			case <-stop:
				return nil
			default:
			}
			o, err := s.Lookup(key(r.IntN(n)), nil)
			if err != nil {
				return err
			}
			if o == nil {
				return fmt.Errorf("an object is missing: %+v", s.Stats())
			}
			if buf == nil {
				buf = make([]byte, o.Response().Length)
			}
			if _, err := o.ReadAt(buf, 0); err != nil {
				return err
			}
			if err := o.Close(); err != nil {
				return err
			}
			count.Add(1)
		}
	})
	if other := <-failed; err == nil {
		err = other
	}
	return float64(count.Load()) / duration.Seconds(), err
}

// opening fills a folder with small objects and opens it again, as after a crash.
func opening(n int) error {
	dir, err := os.MkdirTemp("", "weir-l2rates-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := l2.Open(dir, l2.Options{})
	if err != nil {
		return err
	}
	if err := storeAll(s, n, 300); err != nil {
		return err
	}
	segments := s.Stats().Segments
	if err := s.Close(); err != nil {
		return err
	}
	s = nil
	before := heap()
	start := time.Now()
	if s, err = l2.Open(dir, l2.Options{}); err != nil {
		return err
	}
	took := time.Since(start)
	o, err := s.Lookup(key(n/2), nil)
	if err != nil {
		return err
	}
	if o == nil {
		return errors.New("the first look-up found nothing")
	}
	first := time.Since(start)
	_ = o.Close()
	after := heap()
	st := s.Stats()
	fmt.Printf("opening %d objects of 300 bytes in %d segments, %.0f MB: %v, first hit after %v, %.0f bytes of memory an object\n",
		st.Objects, segments, float64(st.Disk)/1e6, took.Round(time.Millisecond), first.Round(time.Millisecond),
		float64(after-before)/float64(st.Objects))
	return s.Close()
}

func withStore(fn func(s *l2.Store, dir string) error) error {
	dir, err := os.MkdirTemp("", "weir-l2rates-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := l2.Open(dir, l2.Options{Report: func(err error) { log.Print(err) }})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	return fn(s, dir)
}

func store(s *l2.Store, i int, data []byte) error {
	w, err := s.Create(key(i), response(len(data)))
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit(nil)
}

func parallel(n int, fn func(worker int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func key(i int) keying.Key {
	k, err := new(keying.Spec).Build(&keying.Request{
		Method: http.MethodGet, Scheme: "http", Host: "bench", Target: "/" + strconv.Itoa(i),
	})
	if err != nil {
		log.Fatal(err)
	}
	return k.Key
}

func response(body int) *rfc9111.Response {
	now := time.Now()
	return &rfc9111.Response{
		Status: 200, Length: int64(body), RequestTime: now, ResponseTime: now,
		Header: http.Header{"Content-Type": {"text/html"}, "Etag": {`"1"`}},
		Terms:  rfc9111.Terms{Lifetime: 24 * time.Hour},
	}
}

// random makes bytes that do not compress.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b) // never fails
	return b
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// written is how many bytes this process has passed to write calls, 0 where the system does not say.
func written() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "wchar:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}
