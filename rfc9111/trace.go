package rfc9111

import "time"

// A Finding is what one rule came to while a verdict was made.
type Finding struct {
	Rule  string `json:"rule"` // a stable name, for programs
	Says  string `json:"says"` // what is so where it holds, one sentence with the section
	Holds bool   `json:"holds"`
}

// rule is one thing that is looked at for a verdict.
type rule struct{ name, says string }

// trace collects findings from the switches that decide. nil collects nothing and costs a
// comparison.
type trace struct {
	findings []Finding
	all      bool // go on after the rule that decides: then the verdict is not to be used
}

// holds is the condition of one case of such a switch. What it does for a trace is kept out
// of line, so that it is a comparison where there is none.
func (t *trace) holds(is bool, r *rule) bool {
	if t == nil {
		return is
	}
	return t.note(is, r)
}

//go:noinline
func (t *trace) note(is bool, r *rule) bool {
	t.findings = append(t.findings, Finding{Rule: r.name, Says: r.says, Holds: is})
	return is && !t.all
}

// ExplainStorable is [Storable] with what all its rules say, in the order in which they are
// looked at: the first that holds has decided, the others would be next to be in the way.
func ExplainStorable(req Request, resp *Response, rules *Rules) (Storability, []Finding) {
	t := &trace{all: true}
	storable(req, resp, rules, t)
	return Storable(req, resp, rules), t.findings
}

// ExplainReuse is [Judge] with what its rules say, in the order in which they are
// looked at: the last that holds has decided.
func ExplainReuse(req Request, stored *Response, rules *Rules, now time.Time) (Verdict, []Finding) {
	t := &trace{}
	v := judge(req, stored, rules, now, t)
	return v, t.findings
}
