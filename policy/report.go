package policy

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// maxErrors bounds what one file can make us report.
const maxErrors = 1000

// Error is one mistake in a policy file.
type Error struct {
	File    string `json:"file"`
	Line    int    `json:"line"`    // from 1
	Column  int    `json:"column"`  // from 1, in characters
	Field   string `json:"field"`   // such as routes[2].edge.maxAgeSeconds; "" for the file itself
	Message string `json:"message"` // what is wrong, and what would be right
}

func (e Error) Error() string {
	place := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Field != "" {
		place += e.Field + ": "
	}
	return place + e.Message
}

// Errors are all the mistakes found in one file, by position.
type Errors []Error

// Error has one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// finding is an Error before its offset is turned into line and column.
type finding struct {
	offset         int
	field, message string
}

// report collects findings about one file. The same finding made twice, as
// defaults make when they are merged into every route, counts once.
type report struct {
	file     string
	src      []byte
	lines    []int // offsets at which lines begin, made when first needed
	found    []finding
	warnings []finding
	seen     map[finding]bool
}

func newReport(file string, src []byte) *report {
	return &report{file: file, src: src, seen: map[finding]bool{}}
}

func (r *report) full() bool { return len(r.found) > maxErrors }

func (r *report) at(offset int, field, format string, args ...any) {
	r.add(&r.found, finding{offset, field, fmt.Sprintf(format, args...)})
}

// wrong reports a mistake at a node.
func (r *report) wrong(n *node, format string, args ...any) {
	r.at(n.at, n.path(), format, args...)
}

// warn reports what is allowed but hardly meant.
func (r *report) warn(n *node, format string, args ...any) {
	r.add(&r.warnings, finding{n.at, n.path(), fmt.Sprintf(format, args...)})
}

func (r *report) add(to *[]finding, f finding) {
	if len(*to) > maxErrors || r.seen[f] {
		return
	}
	if len(*to) == maxErrors {
		f = finding{f.offset, "", fmt.Sprintf("more than %d mistakes; the rest is not listed", maxErrors)}
	}
	r.seen[f] = true
	*to = append(*to, f)
}

// errors returns what was found, nil for nothing.
func (r *report) errors(found []finding) Errors {
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(a.offset, b.offset) })
	out := make(Errors, len(found))
	for i, f := range found {
		line, column := r.position(f.offset)
		out[i] = Error{r.file, line, column, f.field, f.message}
	}
	return out
}

// position returns the line and column of an offset.
func (r *report) position(offset int) (line, column int) {
	if r.lines == nil {
		r.lines = []int{0}
		for i, c := range r.src {
			if c == '\n' {
				r.lines = append(r.lines, i+1)
			}
		}
	}
	offset = min(offset, len(r.src))
	line = sort.SearchInts(r.lines, offset+1)
	return line, utf8.RuneCount(r.src[r.lines[line-1]:offset]) + 1
}

// where names the place of another node inside a message.
func (r *report) where(n *node) string {
	line, _ := r.position(n.at)
	return fmt.Sprintf("%s (line %d)", n.path(), line)
}
