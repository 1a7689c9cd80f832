package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// A segment is one bbolt file:
//
//	bucket "segment"    "head": magic, segment number, lane
//	bucket <position>   one a group: "d" the group's frames, "t" its table of contents
//	bucket "toc"        "t": table of contents of the whole segment, once it is sealed
//
// A group is a bucket of its own because bbolt never touches again the pages of a bucket that
// nobody opens for writing: a group's bytes keep their file offset from its commit on, so they are read by pread
// and no page of the mapping is touched on the way to a client. With one bucket for
// all groups each commit would write the last leaf (up to four values) once more.
var (
	bucketSelf = []byte("segment")
	bucketTOC  = []byte("toc")
	keyHead    = []byte("head")
	keyData    = []byte("d")
	keyTOC     = []byte("t")
)

const (
	segmentMagic  = "weir l2 segment 1"
	segmentSuffix = ".db"
	segmentPrefix = "seg-"
	tempSuffix    = ".tmp"
	badPrefix     = "bad-"
	pageSize      = 4096
	groupPad      = pageSize / 2 // a smaller bucket would lie inline in its parent's page, and move with it
)

// lane is which of the two logs a segment belongs to.
type lane uint8

const (
	young lane = iota // what was stored and not asked for again yet
	kept              // what was asked for again, and what is too large for young
	lanes
)

func (l lane) String() string { return [...]string{"young", "kept"}[l] }

// segment is one file as readers see it.
type segment struct {
	id   uint32
	lane lane
	path string
	file *os.File // for pread

	flaws  []error                 // what was found damaged while loading
	size   atomic.Int64            // of the file
	blocks atomic.Pointer[[]block] // ascending; replaced as a whole by each commit
	refs   atomic.Int32            // the store's own reference and one a reader; the last one closes file
}

func segmentName(id uint32) string { return fmt.Sprintf("%s%010d%s", segmentPrefix, id, segmentSuffix) }

// segmentID is the number in a segment's file name.
func segmentID(name string) (uint32, bool) {
	var id uint32
	if !strings.HasPrefix(name, segmentPrefix) || !strings.HasSuffix(name, segmentSuffix) {
		return 0, false
	}
	if _, err := fmt.Sscanf(name, segmentPrefix+"%d"+segmentSuffix, &id); err != nil {
		return 0, false
	}
	return id, segmentName(id) == name
}

// acquire takes a reference, unless the last one is gone.
func (g *segment) acquire() bool {
	for {
		n := g.refs.Load()
		if n == 0 {
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *segment) release() {
	if g.refs.Add(-1) == 0 {
		_ = g.file.Close() // only read from
	}
}

// read fills b with the segment's log from position at on. The bytes are not checked here.
func (g *segment) read(b []byte, at uint32) error {
	blocks := *g.blocks.Load()
	i := sort.Search(len(blocks), func(i int) bool { return blocks[i].at > at }) - 1
	if i < 0 || uint64(at)+uint64(len(b)) > uint64(blocks[i].at)+uint64(blocks[i].n) {
		return fmt.Errorf("segment %d position %d: %w", g.id, at, errTruncated)
	}
	if _, err := g.file.ReadAt(b, blocks[i].off+int64(at-blocks[i].at)); err != nil {
		return fmt.Errorf("segment %d position %d: %w", g.id, at, err)
	}
	return nil
}

// stat refreshes the size.
func (g *segment) stat() error {
	info, err := g.file.Stat()
	if err != nil {
		return err
	}
	g.size.Store(info.Size())
	return nil
}

// appender is the writing side of a segment that is not sealed yet.
type appender struct {
	*segment
	db    *database
	limit int64 // the file stays within it
	next  uint32
	used  int64  // bytes of the file that pages take up
	lines []byte // of the table of contents, encoded
	n     int    // how many
}

// createSegment makes an empty segment: under a temporary name first, so that a half-made file never counts.
func createSegment(dir string, id uint32, l lane, limit int64) (a *appender, err error) {
	final := filepath.Join(dir, segmentName(id))
	temp := final + tempSuffix
	a = &appender{segment: &segment{id: id, lane: l, path: final}, limit: limit}
	a.refs.Store(1)
	a.blocks.Store(&[]block{})
	if a.db, err = openDatabase(temp, 2*limit, false); err == nil {
		a.db.AllocSize = int(min(limit/32, 16<<20)) // each step costs a sync
		err = a.db.do(func() error {
			return a.db.Update(func(tx *bolt.Tx) error {
				b, err := tx.CreateBucket(bucketSelf)
				if err != nil {
					return err
				}
				return b.Put(keyHead, segmentHead(id, l))
			})
		})
	}
	if err == nil {
		if err = os.Rename(temp, final); err == nil {
			err = syncDir(dir)
		}
	}
	if err == nil {
		a.file, err = os.Open(final)
	}
	if err == nil {
		err = a.measure()
	}
	if err != nil {
		a.abandon()
		_ = os.Remove(temp)
		_ = os.Remove(final)
		return nil, fmt.Errorf("create segment %d: %w", id, err)
	}
	return a, nil
}

func segmentHead(id uint32, l lane) []byte {
	b := append([]byte(segmentMagic), byte(l))
	return binary.BigEndian.AppendUint32(b, id)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// measure learns how much of the file is in use.
func (a *appender) measure() error {
	err := a.db.do(func() error {
		return a.db.View(func(tx *bolt.Tx) error { a.used = tx.Size(); return nil })
	})
	if err != nil {
		return err
	}
	return a.stat()
}

// room says whether a group of n bytes with a table of contents of toc bytes still fits.
func (a *appender) room(n, toc int) bool {
	const pages = 12 * pageSize // meta, freelist, root and bucket pages, rounding
	need := int64(n) + int64(toc)*2 + int64(contentsBound(len(*a.blocks.Load())+1, len(a.lines))) + pages + int64(a.db.AllocSize)
	return a.used+need <= a.limit
}

// commit makes a group durable. buf is the group's frames from position next on; lines are what they hold.
func (a *appender) commit(buf []byte, lines []line) error {
	at := a.next
	for len(buf) < groupPad {
		buf = append(buf, make([]byte, groupPad-len(buf))...)
	}
	name := binary.BigEndian.AppendUint32(nil, at)
	before := len(a.lines)
	a.lines = appendLines(a.lines, a.id, lines)
	toc := appendContents(nil, a.id, nil, a.lines[before:], len(lines))
	var b block
	err := a.db.do(func() error {
		if err := a.db.Update(func(tx *bolt.Tx) error { return putGroup(tx, name, buf, toc) }); err != nil {
			return err
		}
		return a.db.View(func(tx *bolt.Tx) (err error) {
			a.used = tx.Size()
			b, err = findBlock(a.db.DB, tx.Bucket(name), at)
			return err
		})
	})
	if err != nil {
		a.lines = a.lines[:before]
		return err
	}
	blocks := append(slices.Clip(*a.blocks.Load()), b)
	a.blocks.Store(&blocks)
	a.next = at + b.n
	a.n += len(lines)
	return a.stat()
}

func putGroup(tx *bolt.Tx, name, data, toc []byte) error {
	b, err := tx.CreateBucket(name)
	if err != nil {
		return err
	}
	b.FillPercent = 1
	if err := b.Put(keyData, data); err != nil {
		return err
	}
	return b.Put(keyTOC, toc)
}

// findBlock learns where in the file a committed group lies: its address in the mapping, less the mapping's own.
func findBlock(db *bolt.DB, b *bolt.Bucket, at uint32) (block, error) {
	if b == nil {
		return block{}, errFormat
	}
	v := b.Get(keyData)
	if len(v) == 0 {
		return block{}, errFormat
	}
	off := int64(uintptr(unsafe.Pointer(unsafe.SliceData(v)))) - int64(db.Info().Data)
	if off < 2*pageSize {
		return block{}, errFormat // an inline bucket: written by something else
	}
	return block{at: at, n: uint32(len(v)), off: off}, nil
}

// seal writes the table of contents and lets go of bbolt. What is committed stays readable, also after an error.
func (a *appender) seal() error {
	toc := appendContents(nil, a.id, *a.blocks.Load(), a.lines, a.n)
	err := a.db.do(func() error {
		return a.db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketTOC)
			if err != nil {
				return err
			}
			return b.Put(keyTOC, toc)
		})
	})
	if err == nil {
		err = a.measure()
	}
	a.lines = nil
	used := a.used
	a.closeDB()
	if err == nil && used < a.size.Load() {
		err = os.Truncate(a.path, used) // bbolt grows a file in steps; nothing lies beyond used
		err = errors.Join(err, a.stat())
	}
	if err != nil {
		return fmt.Errorf("seal segment %d: %w", a.id, err)
	}
	return nil
}

// closeDB closes bbolt's side.
func (a *appender) closeDB() {
	if a.db != nil {
		_ = a.db.close() // what is committed is synced
		a.db = nil
	}
}

// abandon gives up a segment that was never used.
func (a *appender) abandon() {
	a.closeDB()
	if a.file != nil {
		a.release()
	}
}

// loadSegment opens a segment that an earlier process wrote and returns its table of contents.
// Errors that wrap ErrDamaged or ErrForeign are about the file, others about reading it now.
func loadSegment(path string, id uint32) (g *segment, toc contents, sealed bool, err error) {
	g = &segment{id: id, path: path}
	g.refs.Store(1)
	var used int64
	if err = checkFile(path); err == nil {
		toc, sealed, used, err = g.readContents()
	}
	if err == nil {
		g.file, err = os.Open(path)
	}
	if err == nil {
		err = g.stat()
	}
	if err == nil && g.size.Load() < used {
		err = fmt.Errorf("%w: %d bytes long, %d in use", ErrDamaged, g.size.Load(), used)
	}
	if err != nil {
		if g.file != nil {
			g.release()
		}
		return nil, contents{}, false, fmt.Errorf("open %s: %w", path, err)
	}
	blocks := slices.Clone(toc.blocks) // a pointer into toc would keep all of it in memory
	g.blocks.Store(&blocks)
	return g, toc, sealed, nil
}

// readContents opens the file as a database, for as long as it takes to read its table of contents.
func (g *segment) readContents() (toc contents, sealed bool, used int64, err error) {
	db, err := openDatabase(g.path, 0, true)
	if err != nil {
		return toc, false, 0, boltOpenError(err)
	}
	err = db.do(func() error {
		return db.View(func(tx *bolt.Tx) (err error) {
			used = tx.Size()
			toc, sealed, err = g.load(db.DB, tx)
			return err
		})
	})
	return toc, sealed, used, errors.Join(err, db.close())
}

// load reads the head and the table of contents: the whole one of a sealed segment, else those of its groups.
func (g *segment) load(db *bolt.DB, tx *bolt.Tx) (c contents, sealed bool, err error) {
	b := tx.Bucket(bucketSelf)
	if b == nil {
		return c, false, fmt.Errorf("%w: not a segment", ErrForeign)
	}
	h := b.Get(keyHead)
	if len(h) != len(segmentMagic)+5 || string(h[:len(segmentMagic)]) != segmentMagic {
		return c, false, fmt.Errorf("%w: not a segment of this version", ErrForeign)
	}
	g.lane = lane(h[len(segmentMagic)])
	if id := binary.BigEndian.Uint32(h[len(segmentMagic)+1:]); id != g.id || g.lane >= lanes {
		return c, false, fmt.Errorf("%w: it says it is segment %d", ErrForeign, id)
	}
	if b := tx.Bucket(bucketTOC); b != nil {
		if c, err = decodeContents(b.Get(keyTOC), g.id); err == nil {
			return c, true, nil
		}
	}
	return g.loadGroups(db, tx), false, nil
}

// loadGroups collects the groups' own tables of contents, for a segment that was not sealed or whose
// table of contents is damaged. What cannot be read is left out and noted.
func (g *segment) loadGroups(db *bolt.DB, tx *bolt.Tx) (c contents) {
	cur := tx.Cursor()
	for name, _ := cur.First(); name != nil; name, _ = cur.Next() {
		if len(name) != 4 {
			continue
		}
		group := tx.Bucket(name)
		b, err := findBlock(db, group, binary.BigEndian.Uint32(name))
		if err != nil {
			g.flaws = append(g.flaws, fmt.Errorf("%s: group %x: %w", g.path, name, err))
			continue
		}
		one, err := decodeContents(group.Get(keyTOC), g.id)
		if err != nil {
			g.flaws = append(g.flaws, fmt.Errorf("%s: contents of group %x: %w", g.path, name, err))
			continue
		}
		c.blocks = append(c.blocks, b)
		c.lines = append(c.lines, one.lines...)
	}
	return c
}

// reseal seals a segment that was loaded unsealed.
func (g *segment) reseal(c contents, limit int64) error {
	a := &appender{segment: g, limit: limit, lines: appendLines(nil, g.id, c.lines), n: len(c.lines)}
	var err error
	a.db, err = openDatabase(g.path, 2*max(limit, g.size.Load()), false)
	if err != nil {
		return fmt.Errorf("seal segment %d: %w", g.id, err)
	}
	return a.seal()
}
