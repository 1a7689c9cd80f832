// Hitratio replays request traces against the disk tier itself, on a real disk, and prints how many requests it
// answers beside what LRU, FIFO and Belady's clairvoyant policy would with the same bytes.
//
//	go run ./bench/hitratio TRACE...
//
// A trace is a text file, gzipped or not, of one request a line: any string that names the object. The folder of the
// disk tier is made under TMPDIR and removed afterwards; a tmpfs gives the same ratios without waiting for syncs.
// Flags: -shares in percent of the distinct keys, -body in bytes.
//
// How to read it: capacity is a share of the trace's distinct keys; it makes the budget in bytes, counted as body, key and
// head of that many objects. LRU, FIFO and Belady hold exactly as many objects as that and have no
// overhead of files, pages and tables; the disk tier pays for all of it out of its budget. "writes" is bytes written
// to the folder for each byte of an object that was stored. "folder" is the largest folder seen during the replay,
// beside what is allowed: budget plus one segment. "passed" is how many times the budget was written by then.
package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"weir/keying"
	"weir/l2"
	"weir/rfc9111"
)

func main() {
	shares := flag.String("shares", "1,5,20", "capacities in percent of the distinct keys")
	body := flag.Int("body", 8192, "bytes of a body; small capacities use longer ones, to fill a budget of 64 MiB")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("usage: hitratio [-shares 1,5,20] [-body 8192] TRACE...")
	}
	fmt.Println("| trace | capacity | LRU | weir L2 | FIFO | Belady | budget | writes | folder (allowed) | passed |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, path := range flag.Args() {
		trace, distinct, err := readTrace(path)
		if err != nil {
			log.Fatal(err)
		}
		for _, share := range strings.Split(*shares, ",") {
			percent, err := strconv.ParseFloat(share, 64)
			if err != nil {
				log.Fatal(err)
			}
			capacity := int(percent / 100 * float64(distinct))
			r, err := replay(trace, capacity, max(*body, (64<<20)/capacity))
			if err != nil {
				log.Fatal(err)
			}
			name, _, _ := strings.Cut(filepath.Base(path), ".")
			fmt.Printf("| %s | %s %% (%d) | %.2f | **%.2f** | %.2f | %.2f | %s | %.2f | %s (%s) | %.1f |\n",
				name, share, capacity, lru(trace, capacity), r.ratio, fifo(trace, capacity), belady(trace, distinct, capacity),
				mib(r.budget), r.writes, mib(r.folder), mib(r.allowed), r.passed)
		}
	}
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// readTrace numbers the objects of a trace in the order of their first request.
func readTrace(path string) (trace []int32, distinct int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }() // only read
	var r io.Reader = bufio.NewReader(f)
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			return nil, 0, err
		}
	}
	numbers := map[string]int32{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		n, ok := numbers[lines.Text()]
		if !ok {
			n = int32(len(numbers))
			numbers[lines.Text()] = n
		}
		trace = append(trace, n)
	}
	return trace, len(numbers), lines.Err()
}

type result struct {
	ratio, writes, passed   float64
	budget, folder, allowed int64
}

// replay sends a trace through a store in a folder of its own.
func replay(trace []int32, capacity, body int) (r result, err error) {
	dir, err := os.MkdirTemp("", "weir-hitratio-")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	object := int64(body + len(key(1).Bytes()) + len(response(body).Encode(nil)))
	r.budget = int64(capacity) * object
	s, err := l2.Open(dir, l2.Options{MaxBytes: r.budget, SegmentBytes: r.budget / 32, Report: func(err error) { log.Print(err) }})
	if err != nil {
		return r, err
	}
	defer func() { _ = s.Close() }()
	r.allowed = r.budget + r.budget/32
	data := make([]byte, body)
	fill(data)
	before := written()
	hits, stored := 0, int64(0)
	for i, n := range trace {
		hit, err := request(s, n, data)
		if err != nil {
			return r, err
		}
		if hit {
			hits++
		} else {
			stored += object
		}
		if i%200 == 0 || i == len(trace)-1 {
			r.folder = max(r.folder, folderSize(dir))
		}
	}
	if err := s.Sync(); err != nil {
		return r, err
	}
	r.folder = max(r.folder, folderSize(dir))
	if r.folder > r.allowed {
		return r, fmt.Errorf("the folder grew to %d bytes, %d are allowed", r.folder, r.allowed)
	}
	r.ratio = 100 * float64(hits) / float64(len(trace))
	r.writes = float64(written()-before) / float64(stored)
	r.passed = float64(stored) / float64(r.budget)
	return r, nil
}

// request looks an object up, checks that it is the right one, and stores it when it is not there.
func request(s *l2.Store, n int32, data []byte) (hit bool, err error) {
	k := key(n)
	o, err := s.Lookup(k, nil)
	if err != nil {
		return false, err
	}
	if o != nil {
		defer func() { _ = o.Close() }()
		var got [8]byte
		if _, err := o.ReadAt(got[:], 0); err != nil {
			return true, err
		}
		if binary.LittleEndian.Uint64(got[:]) != uint64(n) {
			return true, fmt.Errorf("object %d has another one's body", n)
		}
		return true, nil
	}
	binary.LittleEndian.PutUint64(data, uint64(n))
	w, err := s.Create(k, response(len(data)))
	if err != nil {
		return false, err
	}
	if _, err := w.Write(data); err != nil {
		return false, err
	}
	return false, w.Commit(nil)
}

func key(n int32) keying.Key {
	k, err := new(keying.Spec).Build(&keying.Request{
		Method: http.MethodGet, Scheme: "http", Host: "bench", Target: "/" + strconv.Itoa(int(n)),
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
		Header: http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"br"}, "Etag": {`"1"`}},
		Terms:  rfc9111.Terms{Lifetime: 24 * time.Hour},
	}
}

// fill makes bytes that do not compress.
func fill(b []byte) {
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b) // never fails
}

func folderSize(dir string) (total int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	return total
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
