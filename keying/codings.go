package keying

import (
	"net/http"
	"strings"
)

// AllCodings is the normalised Accept-Encoding that names every coding spoken here.
const AllCodings = "br, gzip, zstd"

// The codings that caches and origins are asked for, as a set.
const (
	codingBrotli = 1 << iota
	codingGzip
	codingZstd
	codingAll = codingBrotli | codingGzip | codingZstd
)

var codingSets = [...]string{
	0:                         "",
	codingBrotli:              "br",
	codingGzip:                "gzip",
	codingBrotli | codingGzip: "br, gzip",
	codingZstd:                "zstd",
	codingBrotli | codingZstd: "br, zstd",
	codingGzip | codingZstd:   "gzip, zstd",
	codingAll:                 AllCodings,
}

// choices are the codings in the order in which one is chosen for a client that
// likes several best.
var choices = [...]int{codingZstd, codingBrotli, codingGzip}

// Accepts is what a client says in Accept-Encoding, RFC 9110 12.5.3. A coding that is
// both accepted and refused is refused. Identity is always taken to be acceptable: a
// client that refuses it still gets it when there is nothing else, rather than an
// error. A client that says nothing accepts no coding, as everybody takes it.
type Accepts struct {
	set   uint8    // accepted of br, gzip and zstd
	best  uint8    // the one of them to choose; 0 for none
	lines []string // as they came: for codings that are not spoken here
}

// Accept reads the Accept-Encoding of a request.
func Accept(h http.Header) Accepts {
	lines := h["Accept-Encoding"]
	if len(lines) == 0 {
		return Accepts{}
	}
	var weights [codingAll + 1]int // by coding, in thousandths; 0 refuses
	named, refused, others, identity := 0, 0, 0, 0
	eachCoding(lines, func(name string, weight int) {
		set := codingNamed(name)
		switch {
		case name == "*":
			others = weight
		case strings.EqualFold(name, "identity"):
			identity = weight
		case weight == 0:
			refused |= set
		default:
			named |= set
			weights[set] = weight
		}
	})
	a := Accepts{lines: lines}
	best := max(identity, 1) // identity has the weight that it is given, or else the least
	for _, set := range choices {
		if named&set == 0 {
			weights[set] = others
		}
		if weights[set] == 0 || refused&set != 0 {
			continue
		}
		a.set |= uint8(set)
		if weights[set] > best || weights[set] == best && a.best == 0 {
			best, a.best = weights[set], uint8(set)
		}
	}
	return a
}

// String returns those of br, gzip and zstd that the client accepts, in that order
// and separated by ", ": a normalised Accept-Encoding without preferences.
func (a Accepts) String() string { return codingSets[a.set] }

// Best returns the coding to choose for the client if there is a choice: the one of br,
// gzip and zstd with the most weight. It is "" when it accepts none of them,
// or likes identity better.
func (a Accepts) Best() string { return codingSets[a.best] }

// Lines returns the field as it came, nil when there was none.
func (a Accepts) Lines() []string { return a.lines }

// Has says whether the client accepts a coding, which may be any.
func (a Accepts) Has(coding string) bool {
	if set := codingNamed(coding); set != 0 {
		return int(a.set)&set != 0
	}
	if strings.EqualFold(coding, "identity") {
		return true
	}
	found, refused, others := false, false, false
	eachCoding(a.lines, func(name string, weight int) {
		switch {
		case name == "*":
			others = weight > 0
		case strings.EqualFold(name, coding):
			found, refused = true, refused || weight == 0
		}
	})
	return !refused && (found || others)
}

// AcceptEncoding returns the normalised Accept-Encoding of a request: see [Accepts.String].
func AcceptEncoding(h http.Header) string { return Accept(h).String() }

// eachCoding calls visit for each member of an Accept-Encoding.
func eachCoding(lines []string, visit func(name string, weight int)) {
	for _, line := range lines {
		for item, more := "", true; more; {
			item, line, more = strings.Cut(line, ",")
			name, params, _ := strings.Cut(item, ";")
			visit(strings.Trim(name, whitespace), weightOf(params))
		}
	}
}

func codingNamed(name string) int {
	switch {
	case strings.EqualFold(name, "br"):
		return codingBrotli
	case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"): // RFC 9110 8.4.1.3
		return codingGzip
	case strings.EqualFold(name, "zstd"):
		return codingZstd
	default:
		return 0
	}
}

// weightOf returns the weight that the parameters of a list member give it, in
// thousandths, RFC 9110 12.4.2. A weight that is none counts as 0: the client gets
// what it surely understands.
func weightOf(params string) int {
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.Trim(name, whitespace), "q") {
			return qvalue(strings.Trim(value, whitespace))
		}
	}
	return 1000
}

func qvalue(q string) int {
	whole, fraction, _ := strings.Cut(q, ".")
	if len(fraction) > 3 || whole != "0" && whole != "1" {
		return 0
	}
	weight := 0
	for i := range 3 {
		digit := byte('0')
		if i < len(fraction) {
			digit = fraction[i]
		}
		if digit < '0' || digit > '9' {
			return 0
		}
		weight = weight*10 + int(digit-'0')
	}
	if whole == "0" {
		return weight
	}
	if weight > 0 {
		return 0 // more than 1
	}
	return 1000
}
