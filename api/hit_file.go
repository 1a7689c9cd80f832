package api

import (
	"errors"
	"os"
	"syscall"
	"time"

	"weir/l1"
)

// A fileSend sends a head, and a body from a file: sendfile(2). It is used for one answer after another of a connection.
type fileSend struct {
	socket syscall.RawConn
	head   []byte // what is left of it
	file   *l1.BodyFile
	at     int64 // what has gone of the body
	end    int64 // how long it is

	out  uintptr // the socket, for copy
	full bool    // the socket is
	gone bool    // the file is, or is of no use
	err  error   // of sending the head

	step func(socket uintptr) (done bool) // write and copy as they are passed on, made once
	use  func(file uintptr)
}

// fileSend returns what sends files on c, or nil if c cannot.
func (c *guardConn) fileSend() *fileSend {
	if c.hits.file != nil {
		return c.hits.file
	}
	conn, ok := plainTCP(c.Conn)
	if !ok || !sendsFiles {
		return nil
	}
	socket, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	s := &fileSend{socket: socket}
	s.step, s.use = s.write, s.copy
	c.hits.file = s
	return s
}

// sendFile sends the answer with s, and returns how much of the body has gone, as long as the client takes maxWrite within
// each deadline. What is left when the file is gone comes from the body in memory.
func (x *hit) sendFile(c *guardConn, s *fileSend) (sent int64, err error) {
	s.head, s.file, s.at, s.end, s.gone, s.err = x.out, x.found.File, 0, int64(len(x.found.Body)), false, nil
	defer func() { s.head, s.file = nil, nil }()
	allowed := x.hits.door.opts.WriteTimeout
	for {
		began := s.at
		err := s.socket.Write(s.step)
		switch {
		case err == nil && s.err != nil:
			return s.at, os.NewSyscallError("sendmsg", s.err)
		case err == nil && !s.gone:
			return s.at, nil
		case err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || s.at-began < maxWrite):
			return s.at, err
		}
		c.hits.extended = time.Time{}
		if err := c.extendWrite(time.Now(), allowed); err != nil {
			return s.at, err
		}
		if s.gone {
			n, err := c.sendPieces(nil, x.found.Body[s.at:], allowed)
			return s.at + n, err
		}
	}
}
