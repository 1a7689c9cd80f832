package shield

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/policy"
)

// origins holds the connected origins. Those of the current table stay until the
// next one; an origin that no table names any more, or that a request still brings
// from an older one, ends with the last request that uses it.
type origins struct {
	opts   *Options
	counts *counts
	base   context.Context
	cancel context.CancelFunc
	known  *origins // of a rehearsal: who knows which are out

	change sync.Mutex // held during setTable and close, before mu

	mu     sync.Mutex // guards what follows, and refs and current of every origin
	byName map[string][]*origin
	closed bool
}

func newOrigins(opts *Options, c *counts) *origins {
	p := &origins{opts: opts, counts: c, byName: map[string][]*origin{}}
	p.base, p.cancel = context.WithCancel(context.Background())
	return p
}

func sameOrigin(a, b *policy.Origin) bool { return a == b || reflect.DeepEqual(a, b) }

func (p *origins) setTable(t *policy.Table) {
	p.change.Lock()
	defer p.change.Unlock()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	var old []*origin
	for _, group := range p.byName {
		for _, o := range group {
			if o.current {
				o.current = false
				old = append(old, o)
			}
		}
	}
	var now []*origin
	for _, def := range t.Origins {
		o, err := p.findLocked(def)
		if err != nil {
			p.opts.Report(err) // a compiled table has none of these
			continue
		}
		o.current = true
		now = append(now, o)
	}
	p.mu.Unlock()

	for _, o := range now {
		o.startChecks(p.base)
	}
	for _, o := range old {
		p.retire(o)
	}
}

// retire ends an origin's checks when it is not current, and the origin itself
// when no request uses it.
func (p *origins) retire(o *origin) {
	p.mu.Lock()
	current := o.current
	idle := !current && o.refs == 0 && p.dropLocked(o)
	p.mu.Unlock()
	if !current {
		o.stopChecks()
	}
	if idle {
		o.disconnect()
	}
}

func (p *origins) findLocked(def *policy.Origin) (*origin, error) {
	for _, o := range p.byName[def.Name] {
		if sameOrigin(o.def, def) {
			return o, nil
		}
	}
	o, err := newOrigin(def, p.opts, p.counts)
	if err == nil {
		p.byName[def.Name] = append(p.byName[def.Name], o)
	}
	return o, err
}

// dropLocked says whether o was still there.
func (p *origins) dropLocked(o *origin) bool {
	group := p.byName[o.def.Name]
	i := slices.Index(group, o)
	if i < 0 {
		return false
	}
	if group = slices.Delete(group, i, i+1); len(group) == 0 {
		delete(p.byName, o.def.Name)
	} else {
		p.byName[o.def.Name] = group
	}
	return true
}

// out says whether none of the upstreams of req's origin is up.
func (p *origins) out(req *policy.Request, now time.Time) bool {
	if req.Plan.Table == nil {
		return false
	}
	def := req.Plan.Table.Origins[req.Origin]
	if def == nil {
		return false
	}
	if p.known != nil {
		return p.known.out(req, now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.byName[def.Name] {
		if sameOrigin(o.def, def) {
			return o.out(now)
		}
	}
	return false
}

// use returns the origin that req is for, as req's own table defines it. It must be
// given back with done.
func (p *origins) use(req *policy.Request) (*origin, error) {
	var def *policy.Origin
	if req.Plan.Table != nil {
		def = req.Plan.Table.Origins[req.Origin]
	}
	if def == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoOrigin, req.Origin)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	o, err := p.findLocked(def)
	if err != nil {
		return nil, err
	}
	o.refs++
	return o, nil
}

func (p *origins) done(o *origin) {
	p.mu.Lock()
	o.refs--
	drop := o.refs == 0 && !o.current && p.dropLocked(o)
	p.mu.Unlock()
	if drop {
		o.disconnect()
	}
}

// send asks req's origin. The origin is kept until the reply's body is closed.
func (p *origins) send(ctx context.Context, req *policy.Request, out *outgoing) (*reply, error) {
	o, err := p.use(req)
	if err != nil {
		return nil, err
	}
	ok := false
	defer func() { // also when a transport panics
		if !ok {
			p.done(o)
		}
	}()
	rep, err := o.send(ctx, out)
	if err != nil {
		return nil, err
	}
	ok = true
	rep.body.origin, rep.body.owner = o, p
	return rep, nil
}

func (p *origins) close() {
	p.change.Lock()
	defer p.change.Unlock()
	p.cancel()
	p.mu.Lock()
	p.closed = true
	var all []*origin
	for _, group := range p.byName {
		all = append(all, group...)
	}
	p.mu.Unlock()
	for _, o := range all {
		o.stopChecks()
		o.disconnect()
	}
}

// states lists the upstreams of the current table.
func (p *origins) states() []UpstreamState {
	now := p.opts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []UpstreamState
	for _, group := range p.byName {
		for _, o := range group {
			if !o.current {
				continue
			}
			o.mu.Lock()
			for _, u := range o.upstreams {
				all = append(all, UpstreamState{
					Origin: o.def.Name, URL: u.def.URL, Requests: u.requests.Load(),
					Up: u.upLocked(now),
				})
			}
			o.mu.Unlock()
		}
	}
	slices.SortFunc(all, func(a, b UpstreamState) int {
		if a.Origin != b.Origin {
			return strings.Compare(a.Origin, b.Origin)
		}
		return strings.Compare(a.URL, b.URL)
	})
	return all
}
