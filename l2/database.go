package l2

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long bbolt may wait for the lock of a file. The folder's lock is ours, so nobody should hold it.
const lockWait = time.Second

// guard runs fn and turns a panic into an error: bbolt panics on damaged pages, and touching a mapped page that the
// file no longer has is a fault.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return fn()
}

// database is a bbolt file. After a panic bbolt may hold its own locks for ever; then only the file lock is given up and the
// descriptor closed, and the mapping is left to the end of the process.
type database struct {
	*bolt.DB
	file   *os.File
	broken bool
}

// do runs fn under guard and remembers a panic.
func (d *database) do(fn func() error) error {
	d.broken = true
	return guard(func() error {
		err := fn()
		d.broken = false
		return err
	})
}

func (d *database) close() error {
	if d.broken || d.DB == nil {
		if d.file != nil {
			_ = syscall.Flock(int(d.file.Fd()), syscall.LOCK_UN) // the mapping would hold it
			_ = d.file.Close()
		}
		return nil
	}
	return d.do(d.DB.Close)
}

// openDatabase opens a bbolt file. With an error there is nothing to close.
func openDatabase(path string, limit int64, readOnly bool) (*database, error) {
	return openBolt(path, boltOptions(limit, readOnly))
}

func openBolt(path string, opts *bolt.Options) (*database, error) {
	d := &database{}
	opts.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		d.file, err = os.OpenFile(name, flag, mode)
		return d.file, err
	}
	err := d.do(func() (err error) {
		d.DB, err = bolt.Open(path, 0o600, opts)
		return err
	})
	if err != nil {
		if d.broken {
			_ = d.close()
		}
		return nil, err
	}
	return d, nil
}

func boltOptions(limit int64, readOnly bool) *bolt.Options {
	return &bolt.Options{
		Timeout:         lockWait,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: int(limit),
		PageSize:        pageSize,
		ReadOnly:        readOnly,
		NoStatistics:    true,
	}
}

// checkFile refuses what bbolt should not even look at.
func checkFile(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: not a regular file", ErrForeign)
	case info.Size() < 4*pageSize:
		return fmt.Errorf("%w: only %d bytes", ErrDamaged, info.Size())
	}
	return nil
}

// boltOpenError sorts bbolt's errors into those about the file and those about now.
func boltOpenError(err error) error {
	if errors.Is(err, berrors.ErrTimeout) || errors.Is(err, os.ErrPermission) {
		return err
	}
	var errno interface{ Temporary() bool }
	if errors.As(err, &errno) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
