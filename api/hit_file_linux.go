package api

import "syscall"

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
		case syscall.EAGAIN:
			return false
		default:
			s.err = err
			return true
		}
	}
	s.out, s.full = socket, false
	if s.file.Use(s.use) != nil {
		s.gone = true
	}
	return !s.full
}

// copy sends what the socket takes of the file. The rest comes from memory whatever fails: if it is the socket,
// that will fail as well.
func (s *fileSend) copy(file uintptr) {
	for s.at < s.end {
		n, err := syscall.Sendfile(int(s.out), int(file), &s.at, int(s.end-s.at))
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			s.full = true
			return
		case err != nil || n == 0:
			s.gone = true
			return
		}
	}
}
