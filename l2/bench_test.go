package l2_test

import (
	"fmt"
	"testing"

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
