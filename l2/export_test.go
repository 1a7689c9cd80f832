package l2

import "errors"

// DecodeRecord, DecodeTOC, DecodeUses and DecodeChunk are the decoders that read what a damaged disk may return. Each
// says whether it took the bytes; all but the last encode what they understood once more.

func DecodeRecord(b []byte) ([]byte, bool) {
	h, err := decodeHead(b)
	if err != nil {
		return nil, false
	}
	return h.append(nil), true
}

func DecodeTOC(b []byte, seg uint32) ([]byte, bool) {
	c, err := decodeContents(b, seg)
	if err != nil {
		return nil, false
	}
	return encodeContents(seg, c), true
}

func encodeContents(seg uint32, c contents) []byte {
	return appendContents(nil, seg, c.blocks, appendLines(nil, seg, c.lines), len(c.lines))
}

func DecodeUses(b []byte) ([]byte, bool) {
	u, err := decodeUses(b)
	if err != nil {
		return nil, false
	}
	return u.append(nil), true
}

func DecodeChunk(b []byte, serial uint64, index int) (raw []byte, foreign, ok bool) {
	raw, err := openChunk(b, serial, index)
	return raw, errors.Is(err, errIdentity), err == nil
}

// SampleRecord, SampleTOC and SampleChunk are seeds.

func SampleRecord() []byte {
	h := head{
		serial: 7, chunkSize: 4096, length: 10000, key: "key", resp: []byte("resp"),
		refs: []place{{1, 2, 3}, {1, 5, 3}, {2, 0, 9}},
	}
	return h.append(nil)
}

func SampleTOC() []byte {
	return encodeContents(9, contents{
		blocks: []block{{0, 4096, 8192}, {4096, 100, 20480}},
		lines: []line{
			{kind: lineObject, seq: 4, sel: "s", rec: record{at: 1, pre: 2, n: 3, low: 8, expiry: 5, size: 6}},
			{kind: lineGone, seq: 5, sel: "s"},
			{kind: lineGoneWhole, seq: 6},
		},
	})
}

func SampleUses() []byte {
	return useCounts{3: {{at: 0, uses: 1}, {at: 900, uses: 3}}}.append(nil)
}

func SampleChunk(serial uint64, index int, raw []byte) []byte {
	frame, _ := newChunkFrame(serial, index, raw, true)
	return frame
}

// Reseal makes the checksum of an altered frame or table right again, to get at what lies behind it.
func Reseal(b []byte) []byte {
	if len(b) < frameHeader {
		return b
	}
	out := append([]byte{}, b...)
	endFrame(out, 0, out[8])
	return out
}

func ResealTOC(b []byte) []byte {
	if len(b) < 9 {
		return b
	}
	return resum(append([]byte{}, b...))
}

// DecodeValue decodes the frame of a value at a position.
func DecodeValue(b []byte, at uint64) ([]byte, bool) {
	f, err := decodeValue(b, at)
	if err != nil {
		return nil, false
	}
	_, _ = f.digest()
	return f.append(nil), true
}

// DecodeCounts decodes what every transaction of values writes.
func DecodeCounts(b []byte) ([]byte, bool) {
	c, err := decodeCounts(b)
	return c.frame(), err == nil
}

// SampleValue is a short value, or a long one, at a position; SampleCounts are counts.

func SampleValue(at, part uint64) []byte {
	f := valueFrame{at: at, until: 5, body: valueBody("key", []byte("record"))}
	if part != 0 {
		f = valueFrame{at: at, where: bodyApart, part: part, size: 4096, sum: 3}
	}
	return f.append(nil)
}

func SampleCounts() []byte { return valueCounts{ceiling: 1, values: 2, bytes: 3}.frame() }

// Writing says whether somebody writes to the log at this moment, and how many rules wait for their turn.
func (l *Log) Writing() (busy bool, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != nil {
		waiting = len(l.next.rules)
	}
	return l.busy, waiting
}
