package l2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Which objects were used is kept in a small file, written at Close and now and then, so that a restart does not forget
// what deserves to be carried over. It is a hint: it is not synced, and one that is damaged is ignored.
const (
	usesName   = "uses"
	usesMagic  = "weir l2 uses 1"
	usesEvery  = time.Minute
	usesPlaces = maxUses + 1
)

// useCounts are the uses of the records of each segment, by position, ascending.
type useCounts map[uint32][]useCount

type useCount struct {
	at   uint32
	uses uint8
}

// of returns the uses of a record.
func (u useCounts) of(seg, at uint32) uint8 {
	list := u[seg]
	i, ok := slices.BinarySearchFunc(list, at, func(c useCount, at uint32) int { return cmp.Compare(c.at, at) })
	if !ok {
		return 0
	}
	return list[i].uses
}

func (u useCounts) append(dst []byte) []byte {
	dst = append(dst, make([]byte, 8)...)
	dst = append(dst, usesMagic...)
	for seg, list := range u {
		slices.SortFunc(list, func(a, b useCount) int { return cmp.Compare(a.at, b.at) })
		dst = binary.AppendUvarint(dst, uint64(seg))
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		last := uint32(0)
		for _, c := range list {
			dst = binary.AppendUvarint(dst, uint64(c.at-last)*usesPlaces+uint64(c.uses))
			last = c.at
		}
	}
	return resum(dst)
}

func decodeUses(src []byte) (useCounts, error) {
	if len(src) < 8+len(usesMagic) || string(src[8:8+len(usesMagic)]) != usesMagic {
		return nil, errFormat
	}
	if binary.LittleEndian.Uint64(src) != xxhash.Sum64(src[8:]) {
		return nil, errChecksum
	}
	r := reader{b: src[8+len(usesMagic):]}
	u := useCounts{}
	for len(r.b) > 0 && !r.failed {
		seg := r.uvarint32()
		list := make([]useCount, r.bounded())
		at := uint32(0)
		for i := range list {
			v := r.uvarint()
			at += uint32(v / usesPlaces)
			list[i] = useCount{at, uint8(v % usesPlaces)}
		}
		u[seg] = list
	}
	if r.failed {
		return nil, errFormat
	}
	return u, nil
}

// saveUses writes the file.
func (s *Store) saveUses() {
	s.usesSaved = s.opts.Now()
	u := useCounts{}
	s.index.each(func(v victim) {
		if v.uses > 0 {
			u[v.seg] = append(u[v.seg], useCount{v.at, v.uses})
		}
	})
	b := u.append(nil)
	name := filepath.Join(s.dir, usesName)
	err := os.WriteFile(name+tempSuffix, b, 0o600)
	if err == nil {
		err = os.Rename(name+tempSuffix, name)
	}
	if err != nil {
		_ = os.Remove(name + tempSuffix)
		return // only a hint
	}
	s.usesBytes.Store(int64(len(b)))
}

// loadUses reads the file.
func (s *Store) loadUses() useCounts {
	b, err := os.ReadFile(filepath.Join(s.dir, usesName))
	if err != nil {
		return nil
	}
	s.usesBytes.Store(int64(len(b)))
	u, err := decodeUses(b)
	if err != nil && !errors.Is(err, errFormat) {
		s.stats.damaged.Add(1)
	}
	return u
}
