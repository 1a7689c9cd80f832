package l2

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of opening a folder.
var (
	ErrLocked  = errors.New("l2: another process uses this folder")
	ErrDamaged = errors.New("l2: damaged")
	ErrForeign = errors.New("l2: not a file of this store")
	ErrOptions = errors.New("l2: invalid options")
)

// Errors of storing and reading.
var (
	ErrClosed      = errors.New("l2: closed")
	ErrUnavailable = errors.New("l2: nothing can be stored for now")
	ErrTooLarge    = errors.New("l2: object too large")
	ErrLength      = errors.New("l2: body is not as long as announced")
	ErrDropped     = errors.New("l2: dropped to make room")
	ErrNotStored   = errors.New("l2: not stored")
	ErrCommitted   = errors.New("l2: already committed or aborted")
	ErrAborted     = errors.New("l2: aborted")
	ErrRange       = errors.New("l2: offset out of range")
)

// Options of a store. The zero value is usable.
type Options struct {
	MaxBytes     int64            // budget of the folder; 10 GiB
	SegmentBytes int64            // of one segment file; MaxBytes/64, but 4 MiB to 128 MiB
	MaxObject    int64            // longest body; MaxBytes/2
	GroupBytes   int              // bytes that are committed together; 2 MiB
	GroupDelay   time.Duration    // how long they may wait for each other, at most 100 ms; 50 ms
	Now          func() time.Time // time.Now
	Report       func(error)      // what an operator must know; called from any goroutine, must return quickly; nil drops it
}

const (
	minBudget   = 1 << 20
	minSegment  = 256 << 10
	maxSegment  = 1 << 30
	maxDelay    = 100 * time.Millisecond
	defaultSize = 10 << 30
)

func (o Options) withDefaults() (Options, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultSize
	}
	if o.MaxBytes < minBudget {
		return o, fmt.Errorf("%w: a budget of %d bytes is less than %d", ErrOptions, o.MaxBytes, minBudget)
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = min(max(o.MaxBytes/64, min(4<<20, o.MaxBytes/8), minSegment), 128<<20)
	}
	if o.SegmentBytes < minSegment || o.SegmentBytes > min(maxSegment, o.MaxBytes/4) {
		return o, fmt.Errorf("%w: segments of %d bytes, allowed are %d to a quarter of the budget and %d",
			ErrOptions, o.SegmentBytes, minSegment, maxSegment)
	}
	if o.MaxObject == 0 {
		o.MaxObject = o.MaxBytes / 2
	}
	if o.MaxObject < 0 || o.MaxObject > o.MaxBytes/2 {
		return o, fmt.Errorf("%w: objects of %d bytes in a budget of %d", ErrOptions, o.MaxObject, o.MaxBytes)
	}
	if o.GroupBytes == 0 {
		o.GroupBytes = 2 << 20
	}
	if o.GroupBytes < 0 || o.GroupDelay < 0 || o.GroupDelay > maxDelay {
		return o, fmt.Errorf("%w: groups of %d bytes or %v", ErrOptions, o.GroupBytes, o.GroupDelay)
	}
	o.GroupBytes = min(o.GroupBytes, max(int(o.SegmentBytes/32), 64<<10), int(o.SegmentBytes/8))
	if o.GroupDelay == 0 {
		o.GroupDelay = 50 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

// Store is an open folder. Its methods may be called from any goroutine.
type Store struct {
	dir         string
	opts        Options
	chunkSize   int
	maxHead     int   // of an encoded head
	youngObject int64 // longer objects do not pass through the young lane
	maxSegments int

	lock  *os.File
	rules *Log
	index *index
	queue *queue

	replaceMu [shardCount]sync.Mutex // held while what is stored under a key is looked at and replaced; taken before all others
	segMu     sync.RWMutex           // guards segments and quarantined
	segments  map[uint32]*segment
	bodiesMu  sync.Mutex      // guards bodies and their holders
	bodies    *body           // the first of a list of those that are written or read
	reportMu  sync.Mutex      // guards reported
	reported  map[uint32]bool // segments whose damage was told already
	badBytes  atomic.Int64    // of files set aside
	ruleBytes atomic.Int64
	usesBytes atomic.Int64

	// What the committer alone uses.
	packs    [lanes]pack
	evicting *eviction
	ghost    ghost
	owed     []line
	seq      uint64
	nextID   uint32
	failed   error // what went wrong in this round

	usesSaved time.Time

	stats        counters
	stalledUntil atomic.Int64 // Unix nanoseconds; 0 is not
	closed       atomic.Bool
	done         chan struct{} // closed when the committer has ended
}

// Open opens the store in dir, which is made if need be. Only one process at a time can have a folder open.
func Open(dir string, opts Options) (*Store, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir, true)
	if err != nil {
		return nil, err
	}
	s := newStore(dir, opts)
	s.lock = lock
	if err := s.load(true); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, errors.Join(err, s.release()))
	}
	if s.rules, err = openLog(dir, s.report); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, errors.Join(err, s.release()))
	}
	go s.run()
	return s, nil
}

func newStore(dir string, opts Options) *Store {
	s := &Store{
		dir: dir, opts: opts,
		chunkSize:   int(min(maxChunk, opts.SegmentBytes/16)),
		maxHead:     int(opts.SegmentBytes / 4),
		youngObject: opts.MaxBytes * youngShare / 100 / 8,
		maxSegments: int(4*(opts.MaxBytes/opts.SegmentBytes)) + 16,
		index:       newIndex(),
		segments:    map[uint32]*segment{},
		reported:    map[uint32]bool{},
		nextID:      1,
		done:        make(chan struct{}),
	}
	s.queue = newQueue(opts.GroupBytes, opts.GroupDelay, s.index.apply)
	s.ghost.fit(0)
	return s
}

// Log returns the folder's rule log.
func (s *Store) Log() *Log { return s.rules }

// Sync waits until everything stored so far is durable.
func (s *Store) Sync() error {
	done := make(chan error, 1)
	if err := s.queue.add(op{kind: opSync, done: done}); err != nil {
		return err
	}
	return <-done
}

// Close commits what is queued, seals the segments and lets go of the folder. Objects that are still open stay readable.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.queue.close()
	<-s.done
	return s.release()
}

// shutdown is the committer's last act.
func (s *Store) shutdown() {
	for s.evicting != nil {
		s.carry(s.opts.GroupBytes)
		_ = s.flush() // reported
		s.makeRoom()
	}
	_ = s.flush()
	for l := range lanes {
		s.retire(l)
	}
	s.saveUses()
}

// release closes files.
func (s *Store) release() error {
	var err error
	if s.rules != nil {
		err = s.rules.Close()
	}
	s.bodiesMu.Lock()
	for b := s.bodies; b != nil; b = b.next {
		for _, g := range s.segments {
			b.losing(g)
		}
	}
	s.bodiesMu.Unlock()
	s.segMu.Lock()
	for id, g := range s.segments {
		delete(s.segments, id)
		g.release()
	}
	s.segMu.Unlock()
	return errors.Join(err, s.lock.Close())
}

func (s *Store) acquire(id uint32) *segment {
	s.segMu.RLock()
	defer s.segMu.RUnlock()
	if g := s.segments[id]; g != nil && g.acquire() {
		return g
	}
	return nil
}

func (s *Store) laneOf(id uint32) lane {
	s.segMu.RLock()
	defer s.segMu.RUnlock()
	if g := s.segments[id]; g != nil {
		return g.lane
	}
	return lanes
}

func (s *Store) addSegment(g *segment) {
	s.segMu.Lock()
	s.segments[g.id] = g
	s.segMu.Unlock()
}

func (s *Store) removeSegment(g *segment) {
	s.segMu.Lock()
	delete(s.segments, g.id)
	s.segMu.Unlock()
}

// folderSize is what the folder takes up, and how many segments there are.
func (s *Store) folderSize() (int64, int) {
	if info, err := os.Stat(filepath.Join(s.dir, logName)); err == nil {
		s.ruleBytes.Store(info.Size())
	}
	total := s.badBytes.Load() + s.ruleBytes.Load() + s.usesBytes.Load()
	s.segMu.RLock()
	defer s.segMu.RUnlock()
	for _, g := range s.segments {
		total += g.size.Load()
	}
	return total, len(s.segments)
}

// report tells the operator.
func (s *Store) report(err error) {
	if s.opts.Report != nil {
		s.opts.Report(err)
	}
}

// damage counts a record that did not check out, and tells the operator once a segment.
func (s *Store) damage(p place, err error) {
	s.stats.damaged.Add(1)
	s.reportMu.Lock()
	first := !s.reported[p.seg]
	s.reported[p.seg] = true
	s.reportMu.Unlock()
	if first {
		s.report(fmt.Errorf("%w record in segment %d at position %d: %w", ErrDamaged, p.seg, p.at, err))
	}
}
