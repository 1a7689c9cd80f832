package l1

import (
	"container/list"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	minFiled   = 128 << 10 // bytes of a body that may have a file: with 64 KiB, the second system call takes what the copy takes
	filedAfter = 16        // answers that are made of one before it gets a file, or before that is tried again
	fileShare  = 12        // of the budget that files have at most, in percent
	pageBytes  = 4 << 10   // what a file is given memory in
)

// FileBytes is how much of a budget may be in files, which do not lie in the heap.
func FileBytes(budget int64) int64 { return budget * fileShare / 100 }

// A BodyFile is a body once more, in a file that lies in memory. The kernel sends the pages of such a file as they are,
// while bytes of the heap are copied for each client.
type BodyFile struct {
	file *os.File
	raw  syscall.RawConn
	cost int64
	used atomic.Bool // since it came to its place in the queue

	open  *openHead // whose body it is; this and what follows is guarded by heads.mu
	queue *list.Element
}

func fileCost(body []byte) int64 {
	return int64(len(body)+pageBytes-1)/pageBytes*pageBytes + int64(unsafe.Sizeof(BodyFile{})+unsafe.Sizeof(os.File{})) + queueOverhead
}

// newBodyFile returns nil if there are no such files here, or no more of them.
func newBodyFile(body []byte) *BodyFile {
	file, err := memoryFile(body)
	if err != nil {
		return nil
	}
	f := &BodyFile{file: file, cost: fileCost(body)}
	if f.raw, err = file.SyscallConn(); err != nil {
		_ = file.Close() // nobody has it
		return nil
	}
	return f
}

// Use has use look at the file. It fails when the file is gone, which it may be at any time: the body itself is not.
// The file's offset is nobody's.
func (f *BodyFile) Use(use func(fd uintptr)) error { return f.raw.Control(use) }

// sent counts an answer that was made of what Hit found, and puts a body that is sent often into a file.
func (t *Tier) sent(found *Found) {
	o := found.open
	switch {
	case found.File != nil:
		if !found.File.used.Load() {
			found.File.used.Store(true)
		}
		return
	case len(found.Body) < minFiled || t.opts.MaxFiles == 0 || o.sent.Add(1)%filedAfter != 0:
		return
	}
	t.store.file(o, found.Body)
}

// file puts body into a file beside o, if that is still open, in place of objects that are used less. While another
// one is made it does nothing, or many at once would come to lie outside of the budget.
func (s *store) file(o *openHead, body []byte) {
	if !s.filing.TryLock() {
		return
	}
	defer s.filing.Unlock()
	if !s.takeForFile(o, fileCost(body)) {
		return
	}
	f := newBodyFile(body)
	if f != nil && s.heads.file(o, f) {
		return
	}
	if f != nil {
		_ = f.file.Close() // nobody has it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.counts.bytes.Add(-fileCost(body))
	}
}

// takeForFile makes room for what a file beside o costs, and counts it.
func (s *store) takeForFile(o *openHead, cost int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.heads.allows(o, cost) {
		return false
	}
	s.makeRoomLocked(cost)
	return true
}

// allows says whether o may have a file of so many bytes, once those that were not used since the last time they were
// looked at have given way.
func (hs *heads) allows(o *openHead, cost int64) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	limit := FileBytes(hs.budget)
	if !o.lacksFileLocked() || cost > limit {
		return false
	}
	for looks := hs.files.Len(); hs.fileBytes+cost > limit || hs.files.Len() >= hs.maxFiles; looks-- {
		f := hs.files.Front().Value.(*BodyFile)
		switch {
		case looks == 0: // all are worth theirs
			return false
		case f.used.Swap(false):
			hs.files.MoveToBack(f.queue)
		default:
			hs.closeFileLocked(f.open)
		}
	}
	return true
}

// lacksFileLocked says whether o is open and has no file.
func (o *openHead) lacksFileLocked() bool {
	return o.place != nil && o.place.Load() == o && o.file.Load() == nil
}

// file keeps f, which counts already.
func (hs *heads) file(o *openHead, f *BodyFile) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if !o.lacksFileLocked() {
		return false
	}
	f.open, f.queue = o, hs.files.PushBack(f)
	hs.fileBytes += f.cost
	o.file.Store(f)
	return true
}

// closeFileLocked takes the file away from o, if there is one. Whoever is sending it goes on with the body.
func (hs *heads) closeFileLocked(o *openHead) {
	f := o.file.Swap(nil)
	if f == nil {
		return
	}
	hs.files.Remove(f.queue)
	hs.fileBytes -= f.cost
	hs.counts.bytes.Add(-f.cost)
	_ = f.file.Close() // it was only read
}
