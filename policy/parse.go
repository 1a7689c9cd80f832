package policy

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxSize is the largest policy file, in bytes.
const MaxSize = 4 << 20

// What no valid policy comes near to.
const (
	maxDepth  = 32
	maxValues = 500000
)

// parser reads JSON, RFC 8259, into nodes. It goes on after what people often get
// wrong (comments, commas, quotes) so that one run shows every mistake, and stops
// where going on would be guessing.
type parser struct {
	*report
	pos    int
	depth  int
	values int
}

// parse returns the file's tree, nil when it cannot be read to its end.
func parse(r *report) *node {
	p := &parser{report: r}
	switch {
	case len(p.src) > MaxSize:
		p.at(0, "", "the file has %d bytes; a policy has at most %d", len(p.src), MaxSize)
		return nil
	case bytes.HasPrefix(p.src, []byte("\xef\xbb\xbf")):
		p.at(0, "", "the file begins with a byte order mark; save it as UTF-8 without one")
		p.pos = 3
	case bytes.HasPrefix(p.src, []byte("\xff\xfe")), bytes.HasPrefix(p.src, []byte("\xfe\xff")):
		p.at(0, "", "the file is UTF-16; save it as UTF-8")
		return nil
	}
	p.space(nil)
	if p.pos == len(p.src) {
		p.at(0, "", `the file is empty; the smallest policy is {"origins": {"app": {"url": "http://127.0.0.1:3000"}}}`)
		return nil
	}
	root := &node{}
	if !p.value(root) {
		return nil
	}
	p.space(nil)
	if p.pos < len(p.src) {
		p.at(p.pos, "", "there is more after the end of the policy; a policy file is one object")
	}
	return root
}

// value parses into n, whose place in the tree is set. It returns false when
// nothing after it can be made sense of.
func (p *parser) value(n *node) bool {
	n.at = p.pos
	if p.values++; p.values > maxValues {
		return p.stop(nil, "more than %d values", maxValues)
	}
	if p.pos == len(p.src) {
		return p.stop(n, "the file ends where a value is missing")
	}
	switch c := p.src[p.pos]; {
	case c == '{':
		return p.nested(n, p.object)
	case c == '[':
		return p.nested(n, p.list)
	case c == '"', c == '\'':
		s, ok := p.quoted(n)
		if c == '"' {
			n.kind, n.text = text, s
		}
		return ok
	case isWord(c):
		p.word(n)
		return true
	default:
		return p.stop(n, "unexpected %s where a value should be", p.glyph())
	}
}

// stop reports the mistake after which parsing ends.
func (p *parser) stop(n *node, format string, args ...any) bool {
	p.at(p.pos, n.path(), format, args...)
	return false
}

func (p *parser) nested(n *node, parse func(*node) bool) bool {
	if p.depth == maxDepth {
		return p.stop(nil, "nested deeper than %d levels", maxDepth)
	}
	p.depth++
	p.pos++
	ok := parse(n)
	p.depth--
	return ok
}

func (p *parser) list(n *node) bool {
	n.kind = list
	for {
		p.space(n)
		if p.next(']') {
			return true
		}
		if p.pos < len(p.src) && p.src[p.pos] == ',' {
			return p.stop(n, "a value is missing before this comma")
		}
		item := &node{parent: n, index: len(n.items)}
		if !p.inside(n, ']') || !p.value(item) {
			return false
		}
		n.items = append(n.items, item)
		if more, ok := p.separator(n, ']'); !more || !ok {
			return ok
		}
	}
}

func (p *parser) object(n *node) bool {
	n.kind = object
	seen := map[string]int{}
	for {
		p.space(n)
		if p.next('}') {
			return true
		}
		if !p.inside(n, '}') {
			return false
		}
		child := &node{parent: n}
		at := p.pos
		name, ok := p.fieldName(n)
		if !ok {
			return false
		}
		child.name = name
		if !p.colon(n, child) || !p.value(child) {
			return false
		}
		if first, twice := seen[name]; twice {
			line, column := p.position(first)
			p.at(at, child.path(), "given twice; the first is at line %d, column %d", line, column)
		} else {
			seen[name] = at
			n.fields = append(n.fields, field{name, at, child})
		}
		if more, ok := p.separator(n, '}'); !more || !ok {
			return ok
		}
	}
}

// inside reports the end of the file, or a bracket that closes something else.
func (p *parser) inside(n *node, closing byte) bool {
	if p.pos == len(p.src) {
		line, column := p.position(n.at)
		return p.stop(n, "the file ends inside what began at line %d, column %d; %q is missing", line, column, string(closing))
	}
	if c := p.src[p.pos]; c == '}' || c == ']' {
		line, column := p.position(n.at)
		return p.stop(n, "found %q where %q should close what began at line %d, column %d", string(c), string(closing), line, column)
	}
	return true
}

// separator reads what stands between two entries. more is false after the last.
func (p *parser) separator(n *node, closing byte) (more, ok bool) {
	p.space(n)
	if p.next(closing) {
		return false, true
	}
	if !p.inside(n, closing) {
		return false, false
	}
	comma := p.pos
	if !p.next(',') {
		c := p.src[p.pos]
		if c != '"' && c != '{' && c != '[' && !isWord(c) {
			return false, p.stop(n, "unexpected %s; a comma or %q should be here", p.glyph(), string(closing))
		}
		p.at(p.pos, n.path(), "a comma is missing before this")
		return true, true
	}
	p.space(n)
	if p.pos < len(p.src) && p.src[p.pos] == closing {
		p.at(comma, n.path(), "a comma after the last entry; JSON has none there")
	}
	return true, true
}

func (p *parser) fieldName(n *node) (string, bool) {
	switch c := p.src[p.pos]; {
	case c == '"', c == '\'':
		return p.quoted(n)
	case isWord(c), c == '$':
		start := p.pos
		for p.pos < len(p.src) && (isWord(p.src[p.pos]) || p.src[p.pos] == '$') {
			p.pos++
		}
		name := string(p.src[start:p.pos])
		p.at(start, join(n.path(), name), "field names stand in double quotes; write %s", shorten(name))
		return name, true
	default:
		return "", p.stop(n, "unexpected %s where a field name should be", p.glyph())
	}
}

func (p *parser) colon(n, child *node) bool {
	p.space(n)
	if p.next('=') {
		p.at(p.pos-1, child.path(), `"=" between name and value; JSON has ":" there`)
	} else if !p.next(':') {
		return p.stop(child, `":" and a value are missing after the name`)
	}
	p.space(n)
	return true
}

func (p *parser) next(c byte) bool {
	if p.pos < len(p.src) && p.src[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// space skips white space, and comments with a report.
func (p *parser) space(n *node) {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			p.pos++
		case rest[0] == '#', bytes.HasPrefix(rest, []byte("//")):
			p.comment(n, rest, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			p.comment(n, rest, "*/")
		default:
			return
		}
	}
}

func (p *parser) comment(n *node, rest []byte, end string) {
	p.at(p.pos, n.path(), "JSON has no comments; remove it")
	i := bytes.Index(rest, []byte(end))
	if i < 0 {
		p.pos = len(p.src)
		return
	}
	p.pos += i + len(end)
}

// word parses true, false, null and numbers, and names what looks like them.
func (p *parser) word(n *node) {
	start := p.pos
	for p.pos < len(p.src) && isWord(p.src[p.pos]) {
		p.pos++
	}
	w := string(p.src[start:p.pos])
	switch w {
	case "null":
		n.kind = null
	case "true", "false":
		n.kind, n.truth = boolean, w == "true"
	case "True", "TRUE", "False", "FALSE", "None", "nil", "undefined":
		right := map[byte]string{'T': "true", 'F': "false"}[w[0]]
		p.at(start, n.path(), "%s is not JSON; write %s", w, cmp.Or(right, "null"))
	default:
		switch {
		case isNumber(w):
			n.kind, n.text = number, w
		case isDigit(w[0]), strings.IndexByte("+-.", w[0]) >= 0, w == "NaN", w == "Infinity":
			p.at(start, n.path(), "%s is not a number that JSON knows%s", clip(w), numberHint(w))
		default:
			p.at(start, n.path(), "strings stand in double quotes; write %s", shorten(w))
		}
	}
}

// isNumber checks the grammar of RFC 8259, 6.
func isNumber(w string) bool {
	w = strings.TrimPrefix(w, "-")
	whole := digits(w)
	if whole == 0 || whole > 1 && w[0] == '0' {
		return false
	}
	w = w[whole:]
	if strings.HasPrefix(w, ".") {
		fraction := digits(w[1:])
		if fraction == 0 {
			return false
		}
		w = w[1+fraction:]
	}
	if w != "" && w[0]|0x20 == 'e' {
		w = w[1:]
		if w != "" && (w[0] == '+' || w[0] == '-') {
			w = w[1:]
		}
		exponent := digits(w)
		return exponent > 0 && exponent == len(w)
	}
	return w == ""
}

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// numberHint offers the same number as JSON writes it.
func numberHint(w string) string {
	plain := strings.ReplaceAll(strings.TrimPrefix(w, "+"), "_", "")
	if strings.HasPrefix(plain, ".") {
		plain = "0" + plain
	}
	plain = strings.TrimSuffix(plain, ".")
	for len(plain) > 1 && plain[0] == '0' && isDigit(plain[1]) {
		plain = plain[1:]
	}
	if isNumber(plain) {
		return "; write " + clip(plain)
	}
	return ""
}

// quoted parses a string. A string in single quotes is reported and read on.
func (p *parser) quoted(n *node) (string, bool) {
	quote, start := p.src[p.pos], p.pos
	if quote == '\'' {
		p.at(p.pos, n.path(), "strings stand in double quotes, not single ones")
	}
	p.pos++
	var b strings.Builder
	for {
		if p.pos == len(p.src) || p.src[p.pos] == '\n' {
			p.pos = start
			return "", p.stop(n, "this string is not closed on its line; %q is missing", string(quote))
		}
		c := p.src[p.pos]
		switch {
		case c == quote:
			p.pos++
			return b.String(), true
		case c == '\\':
			p.escape(n, &b)
		case c < 0x20:
			p.at(p.pos, n.path(), "a control character (%#02x) in a string; write it as \\u%04x", c, c)
			p.pos++
		default:
			r, size := utf8.DecodeRune(p.src[p.pos:])
			if r == utf8.RuneError && size == 1 {
				p.at(p.pos, n.path(), "this is not UTF-8 (byte %#02x)", c)
			}
			b.WriteRune(r)
			p.pos += size
		}
	}
}

func (p *parser) escape(n *node, b *strings.Builder) {
	at := p.pos
	p.pos++
	if p.pos == len(p.src) {
		return
	}
	c := p.src[p.pos]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		p.pos++
		b.WriteByte("\"\\/\b\f\n\r\t"[i])
		return
	}
	if c != 'u' {
		p.at(at, n.path(), `\%s is not an escape that JSON knows; a backslash itself is written \\`, strings.Trim(p.glyph(), `"'`))
		return
	}
	r, ok := p.hex(p.pos + 1)
	size := 5
	if low, follows := p.hex(p.pos + 7); ok && follows && r >= 0xd800 && r < 0xdc00 &&
		string(p.src[p.pos+5:p.pos+7]) == `\u` && low >= 0xdc00 && low < 0xe000 {
		r = (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
		size = 11
	}
	if !ok || r >= 0xd800 && r < 0xe000 {
		p.at(at, n.path(), `this \u escape does not name a character`)
		p.pos++
		return
	}
	p.pos += size
	b.WriteRune(r)
}

// hex reads four hexadecimal digits.
func (p *parser) hex(at int) (rune, bool) {
	if at+4 > len(p.src) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(p.src[at:at+4]), 16, 32)
	return rune(v), err == nil
}

// glyph names the character at the parser's place.
func (p *parser) glyph() string {
	if p.pos >= len(p.src) {
		return "end of the file"
	}
	r, _ := utf8.DecodeRune(p.src[p.pos:])
	return strconv.QuoteRune(r)
}

func isWord(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '_' || c == '+' || c == '-' || c == '.'
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
