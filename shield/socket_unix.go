//go:build unix

package shield

import (
	"errors"
	"syscall"
)

// looks says whether a socket can be looked at here.
const looks = true

// nothingCame says whether a socket is open and has nothing to read.
func nothingCame(socket syscall.RawConn) bool {
	var came error
	err := socket.Read(func(fd uintptr) bool {
		var p [1]byte
		_, _, came = syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && errors.Is(came, syscall.EAGAIN)
}
