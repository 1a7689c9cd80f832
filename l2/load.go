package l2

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// maxBad is how many files set aside are kept for whoever wants to look at them.
const maxBad = 2

type loaded struct {
	*segment
	contents
	sealed bool
}

// load finds the segments, newest first, and rebuilds the index from their tables of contents. With tidy it
// also sets aside what is damaged or foreign, removes what was half made, and seals what a crash left open.
func (s *Store) load(tidy bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var ids []uint32
	for _, e := range entries {
		name := e.Name()
		if id, ok := segmentID(strings.TrimPrefix(name, badPrefix)); ok {
			s.nextID = max(s.nextID, id+1) // a number is never used twice, also when its file was set aside
		}
		switch id, ok := segmentID(name); {
		case ok:
			ids = append(ids, id)
		case tidy && name == usesName+tempSuffix,
			tidy && strings.HasSuffix(name, tempSuffix) && strings.HasPrefix(name, segmentPrefix):
			if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(ids, func(a, b uint32) int { return cmp.Compare(b, a) })
	found, err := s.openSegments(ids, tidy)
	if err != nil {
		return err
	}
	s.fill(found)
	if tidy {
		s.limitBad()
		s.sealLoaded(found)
	}
	return nil
}

// openSegments reads the tables of contents, a few files at a time.
func (s *Store) openSegments(ids []uint32, tidy bool) ([]loaded, error) {
	found := make([]loaded, len(ids))
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			path := filepath.Join(s.dir, segmentName(id))
			found[i].segment, found[i].contents, found[i].sealed, errs[i] = loadSegment(path, id)
		})
	}
	wg.Wait()
	var fatal []error
	for i, err := range errs {
		switch {
		case err == nil:
			s.addSegment(found[i].segment)
			for _, flaw := range found[i].flaws {
				s.stats.damaged.Add(1)
				s.report(flaw)
			}
		case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign):
			fatal = append(fatal, err)
		default:
			s.stats.damaged.Add(1)
			s.report(err)
			if tidy {
				s.setAside(ids[i])
			}
		}
	}
	found = slices.DeleteFunc(found, func(l loaded) bool { return l.segment == nil })
	return found, errors.Join(fatal...)
}

// fill builds the index. The order of lines is their sequence number; going from new to old means that an
// older record is mostly just skipped.
func (s *Store) fill(found []loaded) {
	n := 0
	for i := range found {
		n += len(found[i].lines)
	}
	s.index.reserve(n)
	uses := s.loadUses()
	parts := make([]filling, fillers)
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() { parts[i].run(s, found, uses, i) })
	}
	wg.Wait()
	missing := false
	for i := range parts {
		s.seq = max(s.seq, parts[i].seq)
		for _, l := range parts[i].owed {
			s.owe(l)
		}
		missing = missing || parts[i].missing
	}
	if missing {
		s.index.dropMissing(s.segments)
	}
	s.index.loaded()
}

// fillers share the shards of the index: it is cache misses that take the time.
const fillers = 4

type filling struct {
	seq     uint64
	owed    []line
	missing bool
}

// run loads the lines of every fillers-th shard.
func (f *filling) run(s *Store, found []loaded, uses useCounts, part int) {
	var gone []*line
	for i := range found {
		lines, last := found[i].lines, uint32(0)
		for j := len(lines) - 1; j >= 0; j-- {
			l := &lines[j]
			if shardOf(l.digest)%fillers != part {
				continue
			}
			f.seq = max(f.seq, l.seq)
			if l.kind != lineObject {
				gone = append(gone, l)
				continue
			}
			if l.rec.low != found[i].id && l.rec.low != last {
				last = l.rec.low
				f.missing = f.missing || s.laneOf(last) == lanes
			}
			// A crash came between the commits of the two lanes. The older record must not come back when
			// the newer one is dropped.
			if other, seq := s.index.load(found[i].id, l, uses.of(found[i].id, l.rec.at)); other != 0 && s.laneOf(other) != found[i].lane {
				f.owed = append(f.owed, line{kind: lineGone, digest: l.digest, sel: l.sel, seq: seq})
			}
		}
	}
	for _, l := range gone {
		s.index.bury(l)
	}
}

// setAside renames a file that cannot be used, so that nobody trips over it again.
func (s *Store) setAside(id uint32) {
	from := filepath.Join(s.dir, segmentName(id))
	to := filepath.Join(s.dir, badPrefix+segmentName(id))
	if err := errors.Join(os.Rename(from, to), syncDir(s.dir)); err != nil {
		s.report(fmt.Errorf("set aside: %w", err))
		return
	}
	s.report(fmt.Errorf("%s set aside as %s", from, filepath.Base(to)))
}

// limitBad keeps the newest files that were set aside, and counts them.
func (s *Store) limitBad() {
	names, _ := filepath.Glob(filepath.Join(s.dir, badPrefix+"*"))
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(name string) bool { return filepath.Base(name) == badPrefix+valuesName }) // not ours
	for len(names) > maxBad {
		if err := os.RemoveAll(names[0]); err != nil {
			s.report(err)
		}
		names = names[1:]
	}
	total := int64(0)
	for _, name := range names {
		if info, err := os.Lstat(name); err == nil {
			total += info.Size()
		}
	}
	s.badBytes.Store(total)
}

// sealLoaded seals what a crash left open, so that the next start need not collect its groups again.
func (s *Store) sealLoaded(found []loaded) {
	for i := range found {
		if found[i].sealed || len(found[i].flaws) > 0 {
			continue
		}
		if err := found[i].segment.reseal(found[i].contents, s.opts.SegmentBytes); err != nil {
			s.report(err)
		}
	}
}
