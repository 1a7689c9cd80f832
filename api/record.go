package api

import (
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"weir/keying"
	"weir/rfc9111"
)

// Record is what there is to say about one request once it is over.
type Record struct {
	Began    time.Time
	Duration time.Duration

	Client string // address, without port
	Method string
	Host   string // canonical, or as received when it was refused
	Target string // as received
	Route  string // "" when the request was refused before a route was known

	Deployment string // of the policy, "" for none

	Status   int // sent; 499 when the client had left before
	Bytes    int64
	Decision rfc9111.Decision
	Key      keying.Digest
	Keyed    bool
	Aborted  bool  // the response did not go out whole
	Left     bool  // because the client had left
	Err      error // what went wrong, for the log
	stack    []byte
}

func (r *Record) begin(req *http.Request) {
	r.Method, r.Host, r.Target = req.Method, req.Host, req.RequestURI
}

// failed says whether the line of r must not be lost.
func (r *Record) failed() bool {
	return r.Status >= 500 || r.Aborted && !r.Left
}

// Log lines a second at full rate, and then one in how many.
const (
	logFirst = 200
	logEvery = 100
)

// accessLog writes one line per request. Under load it writes a sample of them,
// and all failures. The journal gets them as well.
type accessLog struct {
	sampled, all *zap.Logger
	journal      *Journal // nil: none
}

func newAccessLog(log *zap.Logger, journal *Journal) accessLog {
	sample := func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, logFirst, logEvery)
	}
	return accessLog{sampled: log.WithOptions(zap.WrapCore(sample)), all: log, journal: journal}
}

func (l accessLog) write(r *Record) {
	if entry := l.check(r); entry != nil {
		r.writeTo(entry)
	}
	if l.journal.wants(r) {
		l.journal.add(r)
	}
}

// check returns the entry to write r to, nil if there shall be none.
func (l accessLog) check(r *Record) *zapcore.CheckedEntry {
	if r.failed() {
		return l.all.Check(zapcore.WarnLevel, "request")
	}
	return l.sampled.Check(zapcore.InfoLevel, "request")
}

func (r *Record) writeTo(entry *zapcore.CheckedEntry) {
	fields := make([]zap.Field, 0, 18)
	fields = append(fields,
		zap.Int("status", r.Status),
		zap.String("use", string(r.Decision.Use)),
		zap.String("why", string(r.Decision.Status)),
		zap.String("tiers", tiers(r.Decision)),
		zap.String("route", r.Route),
		zap.String("key", r.digest()),
		zap.String("method", printable(r.Method)),
		zap.String("host", printable(r.Host)),
		zap.String("target", printable(r.Target)),
		zap.Int64("bytes", r.Bytes),
		zap.Float64("ms", float64(r.Duration.Microseconds())/1000),
		zap.String("client", printable(r.Client)),
	)
	if r.Deployment != "" {
		fields = append(fields, zap.String("deployment", r.Deployment))
	}
	if r.Aborted {
		fields = append(fields, zap.Bool("aborted", true))
	}
	if r.Left {
		fields = append(fields, zap.Bool("left", true))
	} else if r.Err != nil {
		fields = append(fields, zap.String("error", printable(r.Err.Error())))
	}
	if r.stack != nil {
		fields = append(fields, zap.ByteString("stack", r.stack))
	}
	entry.Write(fields...)
}

func (r *Record) digest() string {
	if !r.Keyed {
		return ""
	}
	return hex.EncodeToString(r.Key[:])
}

func tiers(d rfc9111.Decision) string {
	if d.Shield == rfc9111.NotAsked {
		return "oc=" + string(d.Outer)
	}
	return "oc=" + string(d.Outer) + ", sc=" + string(d.Shield)
}

// maxLogged is how much of a client's string goes into the log.
const maxLogged = 1024

// printable returns s as it can stand in a log: printable ASCII, everything else
// percent-encoded, so that no byte of a client starts a line or moves a cursor.
func printable(s string) string {
	clean := true
	for i := range len(s) {
		clean = clean && ' ' <= s[i] && s[i] < 0x7f
	}
	if clean && len(s) <= maxLogged {
		return s
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range min(len(s), maxLogged) {
		if c := s[i]; ' ' <= c && c < 0x7f {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	if len(s) > maxLogged {
		b.WriteString("...")
	}
	return b.String()
}
