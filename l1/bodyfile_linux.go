package l1

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile returns an empty file that lies in memory and has no name: memfd_create(2).
func memoryFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("weir-body", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "weir-body"), nil
}
