package policy

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shape says what a value of the policy file may be. The decoder checks the file
// against it and Schema renders it, so the two cannot disagree about a field.
type shape struct {
	kind kind   // broken stands for a choice among either
	def  string // name under $defs, for shapes that are used more than once
	what string // for "must be ..."
	doc  string

	fields    []member          // object with known fields
	nulls     bool              // its fields may be null: not inherited
	exactly1  bool              // object: one field is given, and only one
	elsewhere map[string]string // object: where a field belongs that is often put here
	required  [][]string

	keys *shape // object with free names: what its names are
	elem *shape // list and free object: what its entries are
	some string // list and free object: needs an entry; what to do without one
	once bool   // list: no two entries are equal
	most int    // list and free object: how many entries it may have, maxEntries for 0

	either []*shape // tried by kind of value

	low, high float64       // number: bounds, both inclusive
	whole     bool          // number: an integer
	above     bool          // number: low is exclusive
	unit      time.Duration // number: what it counts, 0 for a mere number

	falseOnly bool                // boolean: true makes no sense
	fold      bool                // text: case makes no difference
	pattern   string              // text: for the schema; check is the judge
	check     func(string) string // text: what is wrong with it, "" for nothing

	initial  any // the default, for the schema
	examples []any
}

// maxEntries bounds lists that are compared with each other or looked through for
// each request.
const maxEntries = 1000

// member is a field of an object.
type member struct {
	name  string
	shape *shape
	doc   string // instead of the shape's own
	own   bool   // not inherited, so that null says nothing
}

// inspect reports everything about n that is not as s says. What it reported is
// broken afterwards, so that nothing is reported about it twice.
func (s *shape) inspect(r *report, n *node) {
	if n.kind == broken || r.full() {
		return
	}
	switch {
	case s.either != nil:
		s.checkEither(r, n)
	case n.kind != s.kind:
		s.refuse(r, n)
	case n.kind == object && s.elem != nil:
		s.checkTable(r, n)
	case n.kind == object:
		s.checkObject(r, n)
	case n.kind == list:
		s.checkList(r, n)
	case n.kind == number:
		s.checkNumber(r, n)
	case n.kind == text:
		s.checkText(r, n)
	case n.kind == boolean && s.falseOnly && n.truth:
		s.refuse(r, n)
	}
}

// refuse reports a value of the wrong kind or outside its bounds.
func (s *shape) refuse(r *report, n *node) {
	r.wrong(n, "must be %s, not %s%s", s.what, n.describe(), s.hint(n))
	n.kind = broken
}

// hint writes the value as it was probably meant.
func (s *shape) hint(n *node) string {
	shapes := s.either
	if shapes == nil {
		shapes = []*shape{s}
	}
	for _, s := range shapes {
		switch {
		case n.kind == text && s.kind == number && isNumber(n.text),
			n.kind == text && s.kind == boolean && (n.text == "false" || n.text == "true" && !s.falseOnly):
			return "; write " + clip(n.text) + " without quotes"
		case s.kind == list && n.kind == text && s.elem.accepts(text):
			return "; write [" + shorten(n.text) + "]"
		case s.kind == text && n.kind == number && (s.check == nil || s.check(n.text) == ""):
			return "; write " + shorten(n.text)
		case s.falseOnly && n.isTrue():
			return "; leave it out to let the origin's headers decide"
		case s.kind == number && s.unit > 0 && n.kind == text:
			if d, err := time.ParseDuration(n.text); err == nil && d >= 0 && (!s.whole || d%s.unit == 0) {
				return "; write " + strconv.FormatFloat(float64(d)/float64(s.unit), 'f', -1, 64)
			}
		case n.kind == null && n.parent != nil:
			return "; leave it out"
		}
	}
	return ""
}

func (s *shape) accepts(k kind) bool {
	for _, e := range s.either {
		if e.kind == k {
			return true
		}
	}
	return s.either == nil && s.kind == k
}

func (s *shape) checkEither(r *report, n *node) {
	for _, e := range s.either {
		if e.kind == n.kind && (!e.falseOnly || !n.truth) {
			e.inspect(r, n)
			return
		}
	}
	s.refuse(r, n)
}

func (s *shape) checkObject(r *report, n *node) {
	for _, f := range n.fields {
		m := s.member(f.name)
		switch {
		case r.full():
			return
		case m == nil:
			r.at(f.at, f.value.path(), "unknown field; %s", s.suggest(f.name))
			f.value.kind = broken
		case f.value.kind == null && s.nulls && !m.own:
		case f.value.kind == null && s.requires(f.name):
			r.wrong(f.value, "must be %s, not null", m.shape.what)
			f.value.kind = broken
		default:
			m.shape.inspect(r, f.value)
		}
	}
	if s.exactly1 && len(n.fields) != 1 {
		r.wrong(n, "must be %s; it has %d", s.what, len(n.fields))
		n.kind = broken
	}
	for _, group := range s.required {
		s.checkRequired(r, n, group)
	}
}

func (s *shape) requires(name string) bool {
	return slices.ContainsFunc(s.required, func(group []string) bool { return len(group) == 1 && group[0] == name })
}

// checkRequired wants exactly one field of the group.
func (s *shape) checkRequired(r *report, n *node, group []string) {
	var given []string
	for _, name := range group {
		if n.get(name) != nil {
			given = append(given, name)
		}
	}
	switch {
	case len(given) == 0 && len(group) == 1:
		r.wrong(n, "%q is missing; %s", group[0], s.member(group[0]).text())
	case len(given) == 0:
		r.wrong(n, "one of %s is missing", quoteAll(group, " and "))
	case len(given) > 1:
		r.wrong(n.get(given[1]), "%s exclude each other; keep one", quoteAll(given, " and "))
		n.get(given[1]).kind = broken
	}
}

func (s *shape) checkTable(r *report, n *node) {
	if !s.checkLength(r, n, len(n.fields)) {
		return
	}
	folded := map[string]string{}
	for _, f := range n.fields {
		if wrong := s.keys.check(f.name); wrong != "" {
			r.at(f.at, f.value.path(), "%s", wrong)
		}
		if other, same := folded[strings.ToLower(f.name)]; same && s.keys.fold {
			r.at(f.at, f.value.path(), "names the same header as %s; keep one", shorten(other))
		}
		folded[strings.ToLower(f.name)] = f.name
		if f.value.kind != null || !s.nulls {
			s.elem.inspect(r, f.value)
		}
	}
}

func (s *shape) checkList(r *report, n *node) {
	if !s.checkLength(r, n, len(n.items)) {
		return
	}
	seen := map[string]bool{}
	for _, item := range n.items {
		s.elem.inspect(r, item)
		if !s.once || item.kind != text {
			continue
		}
		entry := item.text
		if s.elem.fold {
			entry = strings.ToLower(entry)
		}
		if seen[entry] {
			r.wrong(item, "%s stands in this list twice", shorten(item.text))
		}
		seen[entry] = true
	}
}

func (s *shape) checkLength(r *report, n *node, length int) bool {
	switch {
	case s.some != "" && length == 0:
		r.wrong(n, "is empty; %s", s.some)
	case length > cmp.Or(s.most, maxEntries):
		r.wrong(n, "has %d entries; at most %d make sense", length, cmp.Or(s.most, maxEntries))
	default:
		return true
	}
	n.kind = broken
	return false
}

func (s *shape) checkNumber(r *report, n *node) {
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil || s.whole && v != math.Trunc(v) || v < s.low || v > s.high || s.above && v == s.low {
		s.refuse(r, n)
	}
}

func (s *shape) checkText(r *report, n *node) {
	if s.check == nil {
		return
	}
	if wrong := s.check(n.text); wrong != "" {
		r.wrong(n, "%s", wrong)
		n.kind = broken
	}
}

func (s *shape) member(name string) *member {
	for i := range s.fields {
		if s.fields[i].name == name {
			return &s.fields[i]
		}
	}
	return nil
}

func (m *member) text() string {
	if m.doc != "" {
		return lowerFirst(m.doc)
	}
	return lowerFirst(m.shape.doc)
}

func lowerFirst(s string) string {
	s = strings.TrimSuffix(s, ".")
	if len(s) < 2 || 'A' > s[0] || s[0] > 'Z' || 'A' <= s[1] && s[1] <= 'Z' {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

func quoteAll(names []string, and string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return strings.Join(quoted, and)
}

// object returns the shape that describes fields, of s itself or of its choices.
func (s *shape) object() *shape {
	for _, e := range append([]*shape{s}, s.either...) {
		if e.fields != nil {
			return e
		}
	}
	return nil
}
