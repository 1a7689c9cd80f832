package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Report is what Verify found.
type Report struct {
	Segments int
	Objects  int
	Bodies   int   // read to the end and in order
	Bytes    int64 // of those bodies
	Values   int   // read and in order
	Damage   []Damage
}

// Damage is one thing that is not as it should be.
type Damage struct {
	Where string // file, and position within its log
	What  string
}

// Verify reads every record of the folder dir, which no process may be writing to: responses, rules and values. It changes
// nothing.
func Verify(dir string) (Report, error) {
	var r Report
	values, err := r.verifyValues(dir)
	if err != nil {
		return r, err
	}
	lock, err := lockFolder(dir, false)
	switch {
	case err == nil:
		err = r.verifyStore(dir, lock)
	case errors.Is(err, os.ErrNotExist) && values:
		err = nil // they are there without a store
	}
	return r, err
}

// verifyStore reads the segments and the rule log.
func (r *Report) verifyStore(dir string, lock *os.File) error {
	opts, err := Options{}.withDefaults()
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	opts.Report = func(err error) { r.Damage = append(r.Damage, Damage{Where: dir, What: err.Error()}) }
	s := newStore(dir, opts)
	s.lock = lock
	defer func() { _ = s.release() }() // only read
	if err := s.load(false); err != nil {
		return err
	}
	s.opts.Report = nil
	r.Segments = len(s.segments)
	for _, g := range s.segments {
		r.checkFrames(g)
	}
	r.checkObjects(s)
	if err := checkRules(dir); err != nil {
		r.Damage = append(r.Damage, Damage{Where: filepath.Join(dir, logName), What: err.Error()})
	}
	return nil
}

// checkRules reads the rule log. A folder that never had one is fine.
func checkRules(dir string) error {
	path := filepath.Join(dir, logName)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := checkFile(path); err != nil {
		return err
	}
	db, err := openDatabase(path, 0, true)
	if err != nil {
		return err
	}
	l := &Log{db: db}
	return errors.Join(l.Replay(func(uint64, []byte) error { return nil }), l.Close())
}

// checkFrames walks the log of a segment, dead records included.
func (r *Report) checkFrames(g *segment) {
	for _, b := range *g.blocks.Load() {
		buf := make([]byte, b.n)
		if err := g.read(buf, b.at); err != nil {
			r.add(g, b.at, err)
			continue
		}
		for at := 0; at+frameHeader <= len(buf) && buf[at+8] != 0; {
			n := frameHeader + int(binary.LittleEndian.Uint32(buf[at+9:]))
			if n > len(buf)-at {
				r.add(g, b.at+uint32(at), errTruncated)
				break
			}
			if _, err := openFrame(buf[at:at+n], buf[at+8]); err != nil {
				r.add(g, b.at+uint32(at), err)
			}
			at += n
		}
	}
}

func (r *Report) add(g *segment, at uint32, err error) {
	r.Damage = append(r.Damage, Damage{Where: fmt.Sprintf("%s position %d", g.path, at), What: err.Error()})
}

// checkObjects reads every live object to its end.
func (r *Report) checkObjects(s *Store) {
	var all []victim
	s.index.each(func(v victim) { all = append(all, v) })
	for _, v := range all {
		r.Objects++
		g := s.segments[v.seg]
		n, err := readWhole(s, g, v)
		if err != nil {
			r.add(g, v.at, err)
			continue
		}
		r.Bodies++
		r.Bytes += n
	}
}

func readWhole(s *Store, g *segment, v victim) (int64, error) {
	_, h, err := readHead(g, v.entry, false)
	if err != nil {
		return 0, err
	}
	if h.digest != v.digest {
		return 0, errIdentity
	}
	b := s.bodyOf(h)
	n := int64(0)
	for i := range b.refs {
		raw, err := b.chunk(i)
		if err != nil {
			return n, err
		}
		n += int64(len(raw))
	}
	if n != h.length {
		return n, fmt.Errorf("%d bytes of %d", n, h.length)
	}
	return n, nil
}
