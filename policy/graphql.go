package policy

import (
	"slices"
	"strings"

	"weir/keying"
)

// GraphQLParameters are what a GraphQL request over GET is made of, and the members of
// one that POST sends.
var GraphQLParameters = []string{"query", "operationName", "variables", "extensions"}

// graphql marks a route whose requests are judged by the GraphQL operation in them. A
// mutation outdates what was stored for any query at its path, over GET too.
func (c *compiler) graphql(n *node, r *route, merged *node) {
	option := n.get("graphql")
	if !option.isTrue() {
		return
	}
	r.plan.GraphQL = true
	key := *r.plan.Key // which other routes may share
	key.BaseIsPath = true
	r.plan.Key = &key
	methods := n.get("match").get("methods")
	for _, item := range methods.list() {
		if method := item.value(); method != "" && !slices.Contains([]string{"GET", "HEAD", "POST"}, method) {
			c.wrong(item, "GraphQL is sent with GET and POST; give %s a route of its own", method)
		}
	}
	if named := methods.values(); methods == nil || len(named) > 0 && !slices.Contains(named, "POST") && !slices.Contains(named, "GET") {
		c.wrong(option, `needs "methods" in match with "POST", "GET" or both, so that it is plain what is cached`)
	} else if slices.Contains(named, "GET") {
		c.wholeQuery(option, merged.get("key"), r.plan.Key)
	}
	if search := merged.get("key").get("noVarySearch"); search.isTrue() {
		c.contradiction(search, option, "the parameters of GraphQL always make a difference")
	}
	for _, item := range merged.get("removeRequestHeaders").list() {
		if name := canonical(item.value()); name == "Content-Type" || name == "Content-Encoding" {
			c.contradiction(item, option, "without "+strings.ToLower(name)+" the origin may read another operation than was judged")
		}
	}
}

// wholeQuery wants the key to keep what a GraphQL request over GET consists of: what
// is judged has to be what is forwarded.
func (c *compiler) wholeQuery(option, key *node, spec *keying.Spec) {
	for _, name := range GraphQLParameters {
		listed := slices.Contains(spec.Names, name)
		var dropped *node
		switch {
		case spec.Query == keying.QueryNone:
			dropped = key.get("excludeAllQueryParameters")
		case spec.Query == keying.QueryOnly && !listed:
			dropped = key.get("excludeAllQueryParametersExcept")
		case spec.Query == keying.QueryExcept && listed:
			dropped = key.get("excludeQueryParameters")
		}
		if dropped != nil {
			c.contradiction(dropped, option, "GraphQL over GET is in the parameters "+quoteAll(GraphQLParameters, ", ")+", so keep these four")
			return
		}
	}
}
