package shield

import (
	"encoding/binary"
	"net"
)

// records is a connection below TLS, which follows the records that come.
//
// TLS reads ahead: what follows a response may have left the socket without having been decrypted. Whole
// records can be had by asking for them, but of a part of one nobody else would know.
type records struct {
	net.Conn
	header [5]byte // of the record that comes: its length is last, RFC 8446 5.1
	n      int     // bytes of it that have come
	left   int     // bytes of the record that have not, once the header has
}

func (r *records) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.follow(p[:n])
	return n, err
}

func (r *records) follow(p []byte) {
	for len(p) > 0 {
		n := 0
		if r.n < len(r.header) {
			n = copy(r.header[r.n:], p)
			if r.n += n; r.n == len(r.header) {
				r.left = int(binary.BigEndian.Uint16(r.header[3:]))
			}
		} else {
			n = min(r.left, len(p))
			r.left -= n
		}
		if p = p[n:]; r.n == len(r.header) && r.left == 0 {
			r.n = 0
		}
	}
}

// partial says whether a record has come in part.
func (r *records) partial() bool { return r.n > 0 }
