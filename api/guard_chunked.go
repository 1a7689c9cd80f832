package api

// Bounds of a chunked request body, RFC 9112 7.1. They lie within those of
// net/http: what passes here ends at the same byte there.
const (
	maxChunkDigits    = 15   // of a chunk size
	maxChunkExtension = 256  // bytes
	maxTrailers       = 2048 // bytes of all trailer lines
)

// chunkPart is what the next byte of a chunked body belongs to.
type chunkPart int

const (
	chunkSize chunkPart = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer
	chunkEnd
)

// chunkScanner finds the end of a chunked body and checks the framing on its
// way there: CRLF alone ends a line, sizes are plain hex, extensions are bounded,
// trailers follow the grammar of field lines. The zero value is at the first byte
// of a body.
type chunkScanner struct {
	part    chunkPart
	left    int64 // of the chunk's data; its size so far while that is read
	digits  int
	extra   int    // bytes of this chunk's extension
	line    []byte // the trailer line so far
	trailer int    // bytes of all trailer lines so far
}

// scan reads on through b and returns how many of its bytes belong to the body;
// s.part is chunkEnd when it is over. ok is false when the byte after those n is
// not one that may follow.
func (s *chunkScanner) scan(b []byte) (n int, ok bool) {
	for n < len(b) && s.part != chunkEnd {
		if s.part != chunkData {
			if !s.step(b[n]) {
				return n, false
			}
			n++
			continue
		}
		skip := min(s.left, int64(len(b)-n))
		n += int(skip)
		if s.left -= skip; s.left == 0 {
			s.part = chunkDataCR
		}
	}
	return n, true
}

// step takes one byte of framing.
func (s *chunkScanner) step(b byte) bool {
	switch s.part {
	case chunkSize:
		switch {
		case isHex(b):
			s.digits++
			s.left = s.left<<4 | hexValue(b)
			return s.digits <= maxChunkDigits
		case b == ';':
			s.part = chunkExtension
		case b == '\r':
			s.part = chunkSizeLF
		default:
			return false
		}
		return s.digits > 0
	case chunkExtension:
		if b == '\r' {
			s.part = chunkSizeLF
			return true
		}
		s.extra++
		return s.extra <= maxChunkExtension && (b >= ' ' && b != 0x7f || b == '\t')
	case chunkSizeLF:
		if b != '\n' {
			return false
		}
		s.part, s.digits, s.extra = chunkData, 0, 0
		if s.left == 0 {
			s.part = chunkTrailer
		}
		return true
	case chunkDataCR:
		return s.expect(b, '\r', chunkDataLF)
	case chunkDataLF:
		return s.expect(b, '\n', chunkSize)
	case chunkTrailer:
		return s.trailerByte(b)
	}
	return false
}

// expect moves on to the next part if b is the byte that must stand here.
func (s *chunkScanner) expect(b, want byte, next chunkPart) bool {
	if b == want {
		s.part = next
	}
	return b == want
}

// poison is what net/http is given in place of the byte that step refused: bytes
// that it refuses there itself. A read error would end the body as well, but
// net/http takes one for a hang-up and cancels the request before its handler
// can learn what is wrong.
func (s *chunkScanner) poison() []byte {
	switch s.part {
	case chunkSizeLF, chunkDataLF: // a CR stands before
		return []byte("x\n")
	case chunkTrailer:
		return []byte("\x00\r\n\r\n")
	}
	return []byte("\n\n")
}

func (s *chunkScanner) trailerByte(b byte) bool {
	if s.trailer++; s.trailer > maxTrailers {
		return false
	}
	s.line = append(s.line, b)
	if b != '\n' {
		return true
	}
	end := len(s.line) - 2
	if end < 0 || s.line[end] != '\r' {
		return false
	}
	line := s.line[:end]
	s.line = s.line[:0]
	if len(line) == 0 {
		s.part = chunkEnd
		return true
	}
	name, _, no := splitField(line)
	return no == nil && !framingField(name)
}

func hexValue(b byte) int64 {
	if isDigit(b) {
		return int64(b - '0')
	}
	return int64(b|0x20-'a') + 10
}
