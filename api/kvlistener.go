package api

import (
	"context"
	"net/http"

	"go.uber.org/zap"

	"weir/shield"
)

// KVOptions are what the listener for values shows and how it is guarded.
type KVOptions struct {
	Token   string // as the admin listener's, and good for nothing else
	Values  *Values
	Changes *Changes
	Purge   func(ctx context.Context, order shield.PurgeOrder) (shield.PurgeReport, error)
	Ready   func() error // nil: ready; otherwise why not
	Log     *zap.Logger  // of failures; nil: none
}

// NewKV returns the handler of a listener for programs: values, purges by tag, and the
// stream of changes. Nothing else of the node can be read or changed there.
func NewKV(opts KVOptions) *Admin {
	a := &Admin{
		opts: AdminOptions{Token: opts.Token, Purge: tagsAlone(opts.Purge), Ready: opts.Ready, Log: opts.Log},
		words: listenerWords{
			name: "listener for values", token: "token of the listener for values", flag: "--kv-token",
			paths: "/v1/kv/KEY, /v1/kv, /v1/purge, /v1/changes, /healthz or /readyz",
		},
	}
	routes := []route{
		{method: "GET", path: "/healthz", handle: a.health, open: true},
		{method: "GET", path: "/readyz", handle: a.ready, open: true},
		{method: "POST", path: "/v1/purge", handle: a.purge},
	}
	return a.begin(append(append(routes, opts.Values.routes()...), opts.Changes.routes()...))
}

// tagsAlone refuses orders of those who have no say about pages.
func tagsAlone(purge func(context.Context, shield.PurgeOrder) (shield.PurgeReport, error)) func(context.Context, shield.PurgeOrder) (shield.PurgeReport, error) {
	return func(ctx context.Context, order shield.PurgeOrder) (shield.PurgeReport, error) {
		if order.All || len(order.URLs)+len(order.Prefixes)+len(order.Hosts)+len(order.Keys) > 0 {
			return shield.PurgeReport{}, &fault{
				status: http.StatusForbidden, code: "tags-alone", message: "Nothing was purged: the listener for values purges by tag alone.",
				hint: "Ask the admin listener.",
			}
		}
		return purge(ctx, order)
	}
}
