package simulation_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/shield"
)

// model knows what was ordered and what was promised, and judges what clients got. It
// knows nothing of nodes.
type model struct {
	maxBlind time.Duration // after so long a node without its stream may not be behind
	slack    time.Duration // and what the longest fill and the farthest link add

	rules map[string]string // by their bytes: the URLs of rules about one

	mu      sync.Mutex // guards what follows
	orders  []*order
	writes  []*write
	entered []entered
}

// entered is a rule in the shield's log: of a write, or an edge's about one that it saw
// while it could not reach the shield, which may be long ago.
type entered struct {
	url string // "" for all of them
	at  time.Time
}

// order is a purge.
type order struct {
	text  string
	names func(url string) bool
	soft  bool
	at    time.Time
	floor map[string]int // what each URL had then: nothing older may be seen afterwards
	over  time.Time      // when it was acknowledged, or failed; zero: not yet
	acked time.Time      // zero: nothing was promised
	epoch uint64
	named []string // regions in the acknowledgement
}

// write is an unsafe request.
type write struct {
	url, node string // the node as it lived then: what it learned without the shield ends with it
	began     time.Time
	over      time.Time // zero: not yet
	version   int       // that it made, 0 when it was not answered
	shield    bool      // it went through the shield
}

// sight is one whole answer that a client got, or a range of one.
type sight struct {
	url, region, user string
	node              string // with the number of its life
	owner             string // whom the content is for, "" for everybody
	version           int
	began             time.Time // when the client asked
	current           uint64    // the node's place in the purge log then
	min               uint64    // Cache-Min-Epoch
	hit               bool      // from the node's memory
	silent            time.Time // since when nobody could reach the shield from there; zero: one could
	then              int       // the version that the origin had when the oldest memory that is allowed was filled
}

func (m *model) order(o *order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders = append(m.orders, o)
}

func (m *model) acknowledge(o *order, epoch uint64, named []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o.over = time.Now()
	o.acked, o.epoch, o.named = o.over, epoch, named
}

func (m *model) failed(o *order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o.over = time.Now()
}

// enters is told of each rule that comes into the log.
func (m *model) enters(rule []byte) {
	e := entered{at: time.Now()}
	if !bytes.Equal(rule, shield.AllRule().Encode()) {
		if e.url = m.rules[string(rule)]; e.url == "" {
			return // of an order
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entered = append(m.entered, e)
}

func (m *model) write(w *write) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes = append(m.writes, w)
}

// written is the end of a write; version is 0 when nobody was told.
func (m *model) written(w *write, version int, shield bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.over, w.version, w.shield = time.Now(), version, shield
}

// recent is the epoch of one of the last acknowledged purges.
func (m *model) recent(n int) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range slices.Backward(m.orders) {
		if !o.acked.IsZero() {
			if n--; n < 0 {
				return o.epoch
			}
		}
	}
	return 0
}

// judge names the law that a sight breaks, and says why; "" for none.
func (m *model) judge(s sight) string {
	if s.owner != "" && s.owner != s.user {
		return fmt.Sprintf("law 6: %s got what is for %s", s.user, s.owner)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range slices.Backward(m.orders) {
		if s.version >= o.floor[s.url] || !o.names(s.url) || o.soft && lenient(s.url) {
			continue
		}
		if why := m.binds(o, s); why != "" {
			return fmt.Sprintf("%s: version %d, though %s at epoch %d when there was %d, acknowledged %v before, names %v",
				why, s.version, o.text, o.epoch, o.floor[s.url], s.began.Sub(o.acked), o.named)
		}
	}
	for _, w := range slices.Backward(m.writes) {
		if w.url != s.url || s.version >= w.version {
			continue
		}
		if w.node == s.node && s.began.After(w.over) || w.shield && s.began.After(w.over.Add(m.maxBlind+m.slack)) {
			return fmt.Sprintf("law 2, write: version %d, %v after a write through %s made %d", s.version, s.began.Sub(w.over), w.node, w.version)
		}
	}
	if s.hit && !s.silent.IsZero() && s.began.Sub(s.silent) > m.maxBlind+m.slack && s.version < s.then {
		return fmt.Sprintf("law 3: version %d from memory, alone since %v, and %v ago there was %d", s.version, s.began.Sub(s.silent), m.maxBlind+m.slack, s.then)
	}
	return ""
}

// lateAtMost is how long nodes may be apart in these tests.
const lateAtMost = time.Minute

// lenient says whether a page may be used stale after a soft purge.
func lenient(url string) bool {
	p := pathOf(url)
	return p[1] == 's' || p[1] == 'o'
}

// binds says by which law a purge binds what was seen, "" when it does not.
func (m *model) binds(o *order, s sight) string {
	switch {
	case o.acked.IsZero():
		return ""
	case s.min >= o.epoch:
		return "law 2, Cache-Min-Epoch"
	case !s.began.After(o.acked):
		return ""
	case slices.Contains(o.named, s.region):
		return "law 2, named"
	case s.current >= o.epoch:
		return "law 2, caught up"
	case s.began.After(o.acked.Add(m.maxBlind + m.slack)):
		return "law 3, blind for too long"
	}
	return ""
}

// overlaps says whether two requests of the shield for one URL may be at the origin
// together: when something that names the URL came into its log in between.
func (m *model) overlaps(url string, first, second time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.orders, func(o *order) bool { return o.names(url) && during(o.at, o.over, 0, first, second) }) ||
		slices.ContainsFunc(m.entered, func(e entered) bool {
			return (e.url == url || e.url == "") && !e.at.Before(first) && !e.at.After(second)
		})
}

// overlapsAtEdge is overlaps for a node that learns late of what others say.
func (m *model) overlapsAtEdge(url string, first, second time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.orders, func(o *order) bool { return o.names(url) && during(o.at, o.over, lateAtMost, first, second) }) ||
		slices.ContainsFunc(m.writes, func(w *write) bool { return w.url == url && during(w.began, w.over, lateAtMost, first, second) })
}

// during says whether what began and was over, zero for not yet, and may be learned of
// later, fell between two moments.
func during(began, over time.Time, late time.Duration, first, second time.Time) bool {
	return !began.After(second) && (over.IsZero() || !over.Add(late).Before(first))
}
