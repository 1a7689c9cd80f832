package policy

// Plainly returns the plan that Match finds, if method, host and path are all that it
// depends on and every reader of the path would find the same. It keeps nothing of them, and
// allocates nothing.
func (t *Table) Plainly(method, host, path string) (plan *Plan, ok bool) {
	if len(t.routes) > 0 && suspicious(path) {
		return nil, false
	}
	w := t.walk(path)
	for c := w.next(); c != nil; c = w.next() {
		switch {
		case !c.covers(path) || !c.route.takes(method) || !c.route.serves(host):
		case len(c.route.conditions) > 0:
			return nil, false
		default:
			return c.route.plan, true
		}
	}
	return t.defaults, true
}
