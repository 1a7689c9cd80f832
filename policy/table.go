package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Table is a compiled policy. It is immutable.
type Table struct {
	Version  string // digest of the source, short; for logs and history
	Origins  map[string]*Origin
	Warnings Errors // what is allowed but hardly meant

	Deployment string        // the name of what is deployed, "" for none
	Isolate    bool          // each deployment has a cache of its own
	Settle     time.Duration // how long a new deployment's responses are not stored

	Purge    Purge // how edges keep up with purges
	Fallback bool  // shield.fallback: an edge asks the origin itself while it has no shield

	defaults *Plan
	routes   []*route

	// The routes' patterns, each list in the order of the routes.
	exact   map[string][]candidate // by the one path they match
	byFirst map[string][]candidate // by their first segment
	general []candidate            // the rest

	fields map[string]bool // that a route has a condition on
}

// LooksAt says whether it may depend on a header field what a request matches. name is canonical.
func (t *Table) LooksAt(name string) bool { return t.fields[name] }

// Plans returns the plans of all routes in order, and last that of the defaults.
func (t *Table) Plans() []*Plan {
	plans := make([]*Plan, 0, len(t.routes)+1)
	for _, r := range t.routes {
		plans = append(plans, r.plan)
	}
	return append(plans, t.defaults)
}

// Compile decodes and compiles a policy file. name is used in error messages. The
// error is an Errors with everything found.
func Compile(name string, src []byte) (*Table, error) {
	r := newReport(name, src)
	c := newCompiler(r)
	if root := parse(r); root != nil {
		fileShape.inspect(r, root)
		c.file(root)
	}
	if errs := r.errors(r.found); errs != nil {
		return nil, errs
	}
	c.table.Warnings = r.errors(r.warnings)
	c.table.index()
	return c.table, nil
}

func version(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:6])
}

// ForOrigin is the table of a node that is given an origin's URL and no policy file.
func ForOrigin(url string) (*Table, error) {
	if wrong := checkUpstream(url); wrong != "" {
		return nil, fmt.Errorf("origin: %s", wrong)
	}
	src, err := json.Marshal(map[string]any{"origins": map[string]any{"origin": map[string]any{"url": url}}})
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	return Compile("origin", src)
}
