package shield

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"weir/policy"
	"weir/rfc9111"
)

const (
	connectFailures = 3  // or silences in a row take an upstream out
	errorAnswers    = 10 // in a row do, hang-ups included
	firstPenalty    = time.Second
	longestPenalty  = time.Minute
)

// An upstream is one server of an origin. Its state is guarded by origin.mu.
//
// It is taken out for a while when it fails several times in a row, for twice as
// long each further time. When that while is over one request tries it; the others
// go by it until that one has an answer. An upstream whose active checks fail is
// out until they succeed. When all are out, they are all tried all the same: a
// refusal without asking helps nobody.
type upstream struct {
	def      policy.Upstream
	base     *url.URL
	weight   int
	pools    []*pool // the last one is in use, those before it drain
	requests atomic.Int64

	credit   int // smooth weighted round robin
	failures int // connections or heads in a row that did not come
	errors   int // error answers and hang-ups in a row
	penalty  time.Duration
	outUntil time.Time
	trial    bool // one request tries whether it is back

	sick      bool // by active checks
	checkedOK int  // in a row
	checkedKO int
}

// pick chooses among those that were not tried, by smooth weighted round robin:
// everyone gains its weight, the richest is chosen and pays what was gained.
func (o *origin) pick(tried map[*upstream]bool) *upstream {
	now := o.opts.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.richestLocked(func(u *upstream) bool { return !tried[u] && u.upLocked(now) })
	if u == nil {
		u = o.richestLocked(func(u *upstream) bool { return !tried[u] })
	}
	if u != nil && u.penalty > 0 {
		u.trial, u.outUntil = true, now.Add(u.penalty)
	}
	return u
}

func (u *upstream) upLocked(now time.Time) bool { return !u.sick && !now.Before(u.outUntil) }

func (o *origin) out(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !slices.ContainsFunc(o.upstreams, func(u *upstream) bool { return u.upLocked(now) })
}

func (o *origin) richestLocked(may func(*upstream) bool) (best *upstream) {
	total := 0
	for _, u := range o.upstreams {
		if !may(u) {
			continue
		}
		total += u.weight
		u.credit += u.weight
		if best == nil || u.credit > best.credit {
			best = u
		}
	}
	if best != nil {
		best.credit -= total
	}
	return best
}

// judge notes what came of a request: passive health.
func (o *origin) judge(u *upstream, err error, status int) {
	if err != nil && !errors.Is(err, ErrOriginUnreachable) && !errors.Is(err, ErrOriginTimeout) {
		return // the client left, or the request itself is at fault
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case hungUp(err), err == nil && rfc9111.FailedStatus(status):
		// It is there, and some of its pages are broken.
		u.failures = 0
		u.errors++
	case err != nil:
		u.failures++
	default:
		u.reviveLocked()
	}
	if u.penalty > 0 && !u.trial {
		return // sent before it was taken out
	}
	if u.failures >= connectFailures || u.errors >= errorAnswers {
		u.trial = false
		u.penalty = min(longestPenalty, max(firstPenalty, 2*u.penalty))
		jitter := time.Duration(float64(u.penalty) * 0.2 * o.opts.Random())
		u.outUntil = o.opts.Now().Add(u.penalty + jitter)
	}
}

// hungUp says whether a connection ended instead of an answer.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

func (u *upstream) reviveLocked() {
	u.failures, u.errors, u.penalty, u.outUntil, u.trial = 0, 0, 0, time.Time{}, false
}

// startChecks runs the active checks of the policy until stopChecks. Both are
// called with origins.change held.
func (o *origin) startChecks(base context.Context) {
	if o.def.Health == nil || o.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(base)
	o.stop = cancel
	for _, u := range o.upstreams {
		o.checks.Go(func() { o.checkForever(ctx, u) })
	}
}

func (o *origin) stopChecks() {
	if o.stop == nil {
		return
	}
	o.stop()
	o.checks.Wait()
	o.stop = nil
}

func (o *origin) checkForever(ctx context.Context, u *upstream) {
	tick := time.NewTicker(orElse(o.def.Health.Interval, 10*time.Second))
	defer tick.Stop()
	for {
		o.checked(u, o.check(ctx, u))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// check asks for the health path once. Anything but 2xx and 3xx is a failure.
func (o *origin) check(ctx context.Context, u *upstream) bool {
	ctx, cancel := context.WithTimeout(ctx, orElse(o.def.Health.Timeout, 5*time.Second))
	defer cancel()
	out := &outgoing{method: http.MethodGet, target: o.def.Health.Path, host: u.base.Host, fields: fields{{"User-Agent", "weir-health"}}}
	hreq, err := o.request(watch(ctx, out), u, out)
	if err != nil {
		return false
	}
	resp, err := o.connections(u).RoundTrip(hreq)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode >= 200 && resp.StatusCode < 400
}

func (o *origin) checked(u *upstream, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ok {
		u.checkedOK, u.checkedKO = u.checkedOK+1, 0
	} else {
		u.checkedOK, u.checkedKO = 0, u.checkedKO+1
	}
	switch {
	case u.checkedKO >= max(1, o.def.Health.Fall):
		u.sick = true
	case u.sick && u.checkedOK >= max(1, o.def.Health.Rise):
		u.sick = false
		u.reviveLocked()
	}
}

// disconnect closes the connections that are not in use, and those in use when
// they come back.
func (o *origin) disconnect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, u := range o.upstreams {
		for _, p := range u.pools {
			p.disconnect()
		}
	}
}
