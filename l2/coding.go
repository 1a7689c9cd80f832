package l2

import (
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// How a chunk's bytes are stored.
const (
	codingRaw  = 0
	codingZstd = 1
)

// maxChunk is the longest chunk before compression. A damaged length can never make a reader allocate more.
const maxChunk = 256 << 10

// Bodies under minCompress bytes are stored as they are: the head dominates them.
const minCompress = 512

// One encoder and one decoder serve everybody: EncodeAll and DecodeAll may be called at the same time.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(maxChunk),
			zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // options are constants
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxChunk), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxChunk), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err)
		}
		return d
	})
)

// compressible says whether it is worth trying: a body that has a content coding is dense already, and so are
// pictures, films and archives.
func compressible(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	kind, _, _ := strings.Cut(media, "/")
	switch kind {
	case "image":
		return media == "image/svg+xml" || media == "image/bmp" || media == "image/x-icon" || media == "image/vnd.microsoft.icon"
	case "audio", "video":
		return false
	}
	return !dense[media]
}

// dense are media types whose content is compressed already.
var dense = map[string]bool{
	"application/gzip": true, "application/zip": true, "application/zstd": true, "application/x-bzip2": true,
	"application/x-7z-compressed": true, "application/x-xz": true, "application/vnd.rar": true,
	"application/java-archive": true, "application/epub+zip": true, "font/woff": true, "font/woff2": true,
}

// appendChunk appends the form to store to dst: zstd when it saves an eighth or more.
func appendChunk(dst, raw []byte, try bool) (coding byte, out []byte) {
	if try && len(raw) >= minCompress {
		if z := encoder().EncodeAll(raw, dst); len(z)-len(dst) <= len(raw)-len(raw)/8 {
			return codingZstd, z
		}
	}
	return codingRaw, append(dst, raw...)
}

// decodeChunk returns exactly raw bytes, or an error.
func decodeChunk(coding byte, raw int, data []byte) ([]byte, error) {
	switch {
	case raw > maxChunk:
		return nil, errFormat
	case coding == codingRaw && len(data) == raw:
		return data, nil
	case coding != codingZstd:
		return nil, errFormat
	}
	b, err := decoder().DecodeAll(data, make([]byte, 0, raw))
	if err != nil {
		return nil, err
	}
	if len(b) != raw {
		return nil, errFormat
	}
	return b, nil
}
