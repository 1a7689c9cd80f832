//go:build unix

package shield

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// looks says whether a socket can be looked at here.
const looks = true

// nothingCame says whether a socket is open and has nothing to read.
func nothingCame(socket syscall.RawConn) (nothing bool) {
	err := socket.Read(func(fd uintptr) bool {
		nothing = silent(fd)
		return true
	})
	return err == nil && nothing
}

func silent(fd uintptr) bool {
	var p [1]byte
	_, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return errors.Is(err, syscall.EAGAIN)
}

// step is called until it is done, each further time when something has come since the first time: a wait after the
// look misses nothing, but knows nothing of what came before it.
func (c *connection) step(fd uintptr) (done bool) {
	x := &c.first
	if x.request != nil {
		came := !silent(fd)
		if came && !c.since.IsZero() {
			x.err = errUnsolicited
			return true
		}
		c.last = came // what was in a hurry to answer may answer the request, too
		x.err = c.send(x.request)
		x.request = nil
		if x.err != nil {
			return true
		}
		if !came {
			return false
		}
	}
	for {
		n, err := syscall.Read(int(fd), x.into)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return false
		case err != nil:
			x.err = &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: err}
		case n == 0:
			x.err = io.EOF
		default:
			x.n = n
		}
		return true
	}
}
