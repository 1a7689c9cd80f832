package rfc9111

import "strings"

// SurrogateCapability is the value of Surrogate-Capability in requests of routes
// with [Rules].SurrogateControl: it tells origins the name to aim directives at.
const SurrogateCapability = surrogateName + `="Surrogate/1.0"`

const surrogateName = "weir"

// parseSurrogate parses the lines of a Surrogate-Control field, Edge Architecture
// Specification 1.0, 2.3: directives, each possibly aimed at one surrogate by a
// parameter that is its name. ok is false when none of them says here how long to
// store. What is aimed at this surrogate goes before what is said to all.
func parseSurrogate(lines []string) (d directives, ok bool) {
	var own directives
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = cutMember(line)
			directive, target, aimed := strings.Cut(member, ";")
			switch target = trimOWS(target); {
			case !aimed:
				d.addSurrogate(trimOWS(directive))
			case strings.EqualFold(target, surrogateName):
				own.addSurrogate(trimOWS(directive))
			}
		}
	}
	if own.maxAge.set || own.noStore {
		d = own
	}
	return d, d.maxAge.set || d.noStore
}

// addSurrogate notes one directive. Of a lifetime with an extension, "60+30", only the
// lifetime counts.
func (d *directives) addSurrogate(directive string) {
	name, value, valuable := strings.Cut(directive, "=")
	switch {
	case strings.EqualFold(name, "max-age"):
		life, _, _ := strings.Cut(value, "+")
		f := valued
		if !valuable {
			f = bare
		}
		d.maxAge.add(life, f)
	case strings.EqualFold(name, "no-store"), strings.EqualFold(name, "no-store-remote"):
		d.noStore = true
	}
}
