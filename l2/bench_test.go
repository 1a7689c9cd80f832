package l2_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"weir/l2"
)

func BenchmarkStore(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, b.TempDir(), l2.Options{})
			body := content(1, size)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				put(b, s, key(b, fmt.Sprint("/", i)), response(int64(size), "1"), body)
			}
			sync(b, s)
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, b.TempDir(), l2.Options{})
			k := key(b, "/")
			put(b, s, k, response(int64(size), "1"), content(1, size))
			sync(b, s)
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				o, err := s.Lookup(k, nil)
				if err != nil || o == nil {
					b.Fatal(o, err)
				}
				if _, err := o.ReadAt(buf, 0); err != nil {
					b.Fatal(err)
				}
				_ = o.Close()
			}
		})
	}
}

func BenchmarkValuesUpdate(b *testing.B) {
	for _, writers := range []int{1, 100} {
		for _, size := range []int{100, 1000, 8 << 10} {
			b.Run(fmt.Sprintf("%d by %d", size, writers), func(b *testing.B) {
				v := openValues(b, b.TempDir(), l2.ValuesOptions{})
				record := content(1, size)
				var next atomic.Int64
				b.SetParallelism((writers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := setValue(v, fmt.Sprint(next.Add(1)%50_000), record, time.Time{}); err != nil {
							b.Fatal(err)
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
				b.ReportMetric(float64(b.N)/float64(v.Stats().Commits), "updates/commit")
			})
		}
	}
}

func BenchmarkValuesRead(b *testing.B) {
	for _, size := range []int{100, 8 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			v := openValues(b, b.TempDir(), l2.ValuesOptions{})
			if err := setValue(v, "k", content(1, size), time.Time{}); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if got, err := v.Read("k"); err != nil || len(got) != size {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}
