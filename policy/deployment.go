package policy

import (
	"time"

	"weir/keying"
)

// deployment reads what keeps the caches of deployments apart.
func (c *compiler) deployment(root *node) {
	id, isolate, settle := root.get("deployment"), root.get("isolate"), root.get("deploymentSettleSeconds")
	t := c.table
	t.Deployment, t.Isolate, t.Settle = id.value(), isolate.isTrue(), settle.duration(time.Second, 0)
	switch {
	case t.Isolate && id == nil:
		c.wrong(isolate, `needs "deployment", a name for what is deployed, such as its version; without isolate all deployments share one cache`)
	case !t.Isolate && t.Settle > 0:
		c.wrong(settle, `needs "isolate": true; all deployments share one cache without it`)
	}
}

// isolation is how a key spec is used among isolated deployments.
type isolation struct {
	spec      *keying.Spec
	permanent bool
}

// isolated returns the spec that keeps a deployment's responses apart. Another
// deployment's policy may treat queries in another way, so that a URL does not tell
// what its responses are stored under: where a query is not used as it stands, the
// path alone has to find them.
func (c *compiler) isolated(i isolation) *keying.Spec {
	if own, ok := c.apart[i]; ok {
		return own
	}
	own := *i.spec
	own.BaseIsPath = own.BaseIsPath || own.Query != keying.QueryAll || own.Sort
	if !i.permanent {
		own.Deployment = c.table.Deployment
	}
	c.apart[i] = &own
	return &own
}
