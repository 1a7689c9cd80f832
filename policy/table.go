package policy

import (
	"net/http"

	"weir/rfc9111"
)

// Table is a compiled policy. It is immutable.
type Table struct {
	Version string // digest of the source, short; for logs and history
	Origins map[string]*Origin
	// unexported: compiled routes and the defaults plan
}

// MatchRequest is what routes are matched by.
type MatchRequest struct {
	Method, Host string // Host canonical
	Path         string // raw path as received
	RawQuery     string
	Header       http.Header
}

// Match returns the plan of the first route that matches, or that of the defaults.
func (t *Table) Match(r *MatchRequest) (*Plan, Params) { panic("unwritten") }

// TagTemplate is a tag with {placeholders} for captured parameters.
type TagTemplate struct {
	// unexported parts
}

// Tags returns the tags of a response under plan: the plan's own templates expanded by params, and those
// in the response's cache-tag, surrogate-key and cache-groups fields; sorted, without duplicates, bounded.
func (p *Plan) ResponseTags(params Params, resp *rfc9111.Response) []string { panic("unwritten") }

// Compile decodes and compiles a policy file. name is used in error messages. The error is an Errors with everything found.
func Compile(name string, src []byte) (*Table, error) { panic("unwritten") }

// ForOrigin is the table that `weir serve --origin URL` runs without a policy file.
func ForOrigin(url string) (*Table, error) { panic("unwritten") }

// Schema is the JSON Schema of the policy file.
func Schema() []byte { panic("unwritten") }
