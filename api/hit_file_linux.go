package api

import (
	"errors"
	"syscall"
)

// sendsFiles says whether the kernel sends files.
const sendsFiles = true

// write sends what the socket takes. It is not done while the socket takes no more.
func (s *fileSend) write(socket uintptr) (done bool) {
	for len(s.head) > 0 {
		// The first bytes of the body belong into the same packet.
		n, err := syscall.SendmsgN(int(socket), s.head, nil, nil, syscall.MSG_MORE|syscall.MSG_NOSIGNAL)
		switch err {
		case nil:
			s.head = s.head[n:]
		case syscall.EINTR:
		default:
			s.err = err
			return err != syscall.EAGAIN
		}
	}
	s.out = socket
	if s.file.Use(s.use) != nil {
		s.gone = true
		return true
	}
	return !errors.Is(s.err, syscall.EAGAIN)
}

// copy sends what the socket takes of the file.
func (s *fileSend) copy(file uintptr) {
	for s.err = nil; s.at < s.end; {
		_, err := syscall.Sendfile(int(s.out), int(file), &s.at, int(s.end-s.at))
		if err != nil && err != syscall.EINTR {
			s.err = err
			return
		}
	}
}
