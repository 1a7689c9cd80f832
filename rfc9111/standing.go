package rfc9111

import "time"

// A Standing is how a stored response stands towards a request: what a tier tells of what it holds.
type Standing struct {
	Response *Response
	Selected bool          // it is the variant that the request selects
	Age      time.Duration // RFC 9111 4.2.3
	TTL      time.Duration // what is left of its lifetime; negative once stale
	Verdict  Verdict
	Findings []Finding
	OnError  bool // it may be served if the origin fails, RFC 5861 4

	Purged   bool // a purge forbids to use it
	Softened bool // a soft purge has made it stale
	Unsure   bool // purges may have been missed, and it is from before that
}

// Stand says how stored stands towards req. at is the time to judge it by, which is
// another than now where it counts as stale before its time, see [Response.StaleSince].
func Stand(req Request, stored *Response, rules *Rules, at time.Time) Standing {
	s := Standing{
		Response: stored, Selected: stored.Selection.Matches(req.Header),
		Age: stored.Age(at), TTL: stored.TTL(at), OnError: UsableOnError(req, stored, rules, at),
	}
	s.Verdict, s.Findings = ExplainReuse(req, stored, rules, at)
	return s
}

// Fields returns the request fields that s is about, with the values that it has: what
// they are reduced to for comparison. "..." is a value that is held as a digest, "-" that
// there was no such field.
func (s Selection) Fields() (fields [][2]string) {
	for s != "" {
		name, n := s.record()
		if n == 0 {
			return fields
		}
		value := "-"
		switch rest := string(s[1+len(name) : n]); rest[0] {
		case 'v':
			value = rest[2:]
		case 'd':
			value = "..."
		}
		fields = append(fields, [2]string{name, value})
		s = s[n:]
	}
	return fields
}
