package l2_test

import (
	"bytes"
	"testing"

	"weir/l2"
)

// Whatever the disk returns is refused, or understood in exactly one way; with a right checksum too.
func FuzzRecord(f *testing.F) {
	f.Add(l2.SampleRecord())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, l2.Reseal(b)} {
			if out, ok := l2.DecodeRecord(in); ok {
				if again, ok := l2.DecodeRecord(out); !ok || !bytes.Equal(again, out) {
					t.Fatalf("%x is not stable", in)
				}
			}
		}
	})
}

func FuzzTOC(f *testing.F) {
	f.Add(l2.SampleTOC())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, l2.ResealTOC(b)} {
			if out, ok := l2.DecodeTOC(in, 9); ok {
				if again, ok := l2.DecodeTOC(out, 9); !ok || !bytes.Equal(again, out) {
					t.Fatalf("%x is not stable", in)
				}
			}
		}
	})
}

func FuzzUses(f *testing.F) {
	f.Add(l2.SampleUses())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, l2.ResealTOC(b)} {
			if out, ok := l2.DecodeUses(in); ok {
				if _, ok := l2.DecodeUses(out); !ok {
					t.Fatalf("%x is not stable", in)
				}
			}
		}
	})
}

func FuzzChunk(f *testing.F) {
	f.Add(l2.SampleChunk(1, 0, []byte("short")))
	f.Add(l2.SampleChunk(1, 0, bytes.Repeat([]byte("long enough to be compressed "), 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, l2.Reseal(b)} {
			if raw, _, ok := l2.DecodeChunk(in, 1, 0); ok && len(raw) > 256<<10 {
				t.Fatalf("%d bytes from %d", len(raw), len(in))
			}
		}
	})
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	samples := map[string]struct {
		bytes  []byte
		decode func([]byte) bool
	}{
		"record": {l2.SampleRecord(), func(b []byte) bool { _, ok := l2.DecodeRecord(b); return ok }},
		"toc":    {l2.SampleTOC(), func(b []byte) bool { _, ok := l2.DecodeTOC(b, 9); return ok }},
		"uses":   {l2.SampleUses(), func(b []byte) bool { _, ok := l2.DecodeUses(b); return ok }},
		"chunk": {l2.SampleChunk(1, 2, []byte("some bytes")), func(b []byte) bool {
			_, _, ok := l2.DecodeChunk(b, 1, 2)
			return ok
		}},
	}
	for name, s := range samples {
		if !s.decode(s.bytes) {
			t.Fatalf("%s does not decode", name)
		}
		for i := range len(s.bytes) * 8 {
			b := bytes.Clone(s.bytes)
			b[i/8] ^= 1 << (i % 8)
			if s.decode(b) {
				t.Errorf("%s: bit %d", name, i)
			}
		}
		for n := range s.bytes {
			if s.decode(s.bytes[:n]) {
				t.Errorf("%s: %d bytes of %d", name, n, len(s.bytes))
			}
		}
	}
}

func TestChunkOfAnotherObjectOrPlace(t *testing.T) {
	b := l2.SampleChunk(1, 2, []byte("some bytes"))
	for _, c := range []struct {
		serial uint64
		index  int
	}{{1, 3}, {2, 2}} {
		if _, foreign, ok := l2.DecodeChunk(b, c.serial, c.index); ok || !foreign {
			t.Errorf("%+v: taken", c)
		}
	}
}

func FuzzValue(f *testing.F) {
	f.Add(l2.SampleValue(7, 0))
	f.Add(l2.SampleValue(7, 3))
	f.Add(l2.SampleCounts())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, l2.Reseal(b)} {
			if out, ok := l2.DecodeValue(in, 7); ok && !bytes.Equal(in, out) {
				t.Fatalf("%x was understood as %x", in, out)
			}
			if _, ok := l2.DecodeValue(in, 8); ok && in[15] == 7 {
				t.Fatalf("%x is at 7", in)
			}
			if out, ok := l2.DecodeCounts(in); ok && !bytes.Equal(in, out) {
				t.Fatalf("%x was understood as %x", in, out)
			}
		}
	})
}
