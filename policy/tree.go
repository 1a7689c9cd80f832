package policy

import (
	"strconv"
	"strings"
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

// under returns over with the fields it does not have taken from base. Objects are
// merged field by field, everything else is taken whole; null takes a field away.
// Names differ by case only in header names, where case means nothing.
func under(base, over *node) *node {
	if over == nil {
		if base == nil || base.kind != object {
			return base
		}
		over = &node{kind: object, at: base.at, parent: base.parent, name: base.name, index: base.index}
	}
	if over.kind != object {
		return over
	}
	merged := *over
	merged.fields = nil
	if base != nil && base.kind == object {
		for _, f := range base.fields {
			if over.getFold(f.name) == nil && f.value.kind != null {
				f.value = under(f.value, nil)
				merged.fields = append(merged.fields, f)
			}
		}
	} else {
		base = nil
	}
	for _, f := range over.fields {
		if f.value.kind == null {
			continue
		}
		f.value = under(base.getFold(f.name), f.value)
		merged.fields = append(merged.fields, f)
	}
	return &merged
}

func (n *node) getFold(name string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return nil
}
