package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is what a JSON value is.
type kind int

const (
	broken kind = iota // already reported; everything accepts it in silence
	null
	boolean
	number
	text
	list
	object
)

// node is a JSON value that remembers where it stood. encoding/json keeps neither
// positions nor duplicate names, and both are needed to report mistakes.
type node struct {
	kind   kind
	at     int    // byte offset of its first byte
	text   string // of a text: its value; of a number: its literal
	truth  bool   // of a boolean
	items  []*node
	fields []field // in the order of the file, without duplicates

	parent *node
	name   string // within an object
	index  int    // within a list
}

type field struct {
	name  string
	at    int // of the name
	value *node
}

// get returns the field of an object, nil when it is not given.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// path names the node from the root: routes[2].edge.maxAgeSeconds.
func (n *node) path() string {
	if n == nil || n.parent == nil {
		return ""
	}
	if n.parent.kind == list {
		return n.parent.path() + "[" + strconv.Itoa(n.index) + "]"
	}
	return join(n.parent.path(), n.name)
}

// join adds a field name to a path, in quotes where it would be misread.
func join(path, name string) string {
	if !plainName(name) {
		return path + "[" + shorten(name) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func plainName(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !isLetter(c) && !isDigit(c) && c != '_' && c != '-' && c != '$' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// describe says what a value is, for "must be X, not ...".
func (n *node) describe() string {
	switch n.kind {
	case null:
		return "null"
	case boolean:
		return strconv.FormatBool(n.truth)
	case number:
		return clip(n.text)
	case text:
		return "the string " + shorten(n.text)
	case list:
		return "a list"
	case object:
		return "an object"
	default:
		return "nothing"
	}
}

// shorten quotes a value for a message and keeps the message readable.
func shorten(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// under returns over with the fields it does not have taken from base, which was
// itself returned by under or is nil. Objects are merged field by field, everything
// else is taken whole; null takes a field away. What is only inherited is shared.
// Names differ by case only in header names, where case means nothing.
func under(base, over *node) *node {
	if over.kind != object {
		return over
	}
	if base == nil || base.kind != object {
		base = &node{}
	}
	merged := *over
	merged.fields = nil
	for _, f := range base.fields {
		if over.getFold(f.name) == nil {
			merged.fields = append(merged.fields, f)
		}
	}
	for _, f := range over.fields {
		if f.value.kind != null {
			f.value = under(base.getFold(f.name), f.value)
			merged.fields = append(merged.fields, f)
		}
	}
	return &merged
}

func (n *node) getFold(name string) *node {
	for _, f := range n.fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return nil
}

// The rest reads values from nodes. A node that is missing or broken reads as the
// zero value, so that one mistake is reported once.

func given(n *node) bool { return n != nil && n.kind != null }

func (n *node) value() string {
	if n == nil || n.kind != text {
		return ""
	}
	return n.text
}

func (n *node) isTrue() bool { return n != nil && n.kind == boolean && n.truth }

func (n *node) isFalse() bool { return n != nil && n.kind == boolean && !n.truth }

func (n *node) all() []field {
	if n == nil || n.kind != object {
		return nil
	}
	return n.fields
}

func (n *node) list() []*node {
	if n == nil || n.kind != list {
		return nil
	}
	return n.items
}

// values returns the strings of a list.
func (n *node) values() []string {
	var out []string
	for _, item := range n.list() {
		if item.kind == text {
			out = append(out, item.text)
		}
	}
	return out
}

func (n *node) number(otherwise int) int {
	if n == nil || n.kind != number {
		return otherwise
	}
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		return otherwise
	}
	return int(v)
}

// duration reads a number of units. Whole and fraction are kept apart, because a
// float does not hold every nanosecond of 68 years.
func (n *node) duration(unit, otherwise time.Duration) time.Duration {
	if n == nil || n.kind != number {
		return otherwise
	}
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		return otherwise
	}
	whole := time.Duration(v)
	return whole*unit + time.Duration((v-float64(whole))*float64(unit)+0.5)
}

func (n *node) optional() *time.Duration {
	if n == nil || n.kind != number {
		return nil
	}
	d := n.duration(time.Second, 0)
	return &d
}

// without returns a copy of an object that lacks a field.
func (n *node) without(name string) *node {
	if n == nil {
		return nil
	}
	out := *n
	out.fields = slices.DeleteFunc(slices.Clone(n.fields), func(f field) bool { return f.name == name })
	return &out
}
