package simnet

import (
	"math/rand/v2"
	"sync"
	"time"
)

// A Link is what lies between two hosts, the same both ways.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // at most as much is added: to each connection once, and to each write
}

// pair names a link: the lesser name first.
type pair struct{ a, b string }

func between(a, b string) pair {
	if b < a {
		a, b = b, a
	}
	return pair{a, b}
}

// link is a Link and its state.
type link struct {
	Link
	silent bool
	opened uint64 // connections so far
	wires  map[*wire]struct{}
}

// Network is hosts and links. Its methods may be called concurrently.
type Network struct {
	seed uint64

	mu        sync.Mutex // guards everything in a network, its connections included
	changed   chan struct{}
	links     map[pair]*link
	listeners map[string]*listener // by address
	downs     map[string]bool      // hosts
}

// New makes a network whose links have no delay until SetLink.
func New(seed uint64) *Network {
	return &Network{
		seed: seed, changed: make(chan struct{}), links: make(map[pair]*link),
		listeners: make(map[string]*listener), downs: make(map[string]bool),
	}
}

// SetLink gives a link its delays. Connections that exist keep their order.
func (n *Network) SetLink(a, b string, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.linkLocked(a, b).Link = l
}

func (n *Network) linkLocked(a, b string) *link {
	p := between(a, b)
	l := n.links[p]
	if l == nil {
		l = &link{wires: make(map[*wire]struct{})}
		n.links[p] = l
	}
	return l
}

// wakeLocked has those look again who wait for a listener or a link.
func (n *Network) wakeLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Silence makes a link swallow everything: nobody gets an error, and what is sent
// waits. Dialing waits too.
func (n *Network) Silence(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.linkLocked(a, b)
	l.silent = true
	now := time.Now()
	for w := range l.wires {
		w.holdLocked(now)
	}
}

// Heal ends a silence. Connections go on with what was on its way, or are reset where
// lost says so, as when something in between has forgotten them. lost may be nil.
func (n *Network) Heal(a, b string, lost func() bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.linkLocked(a, b)
	if !l.silent {
		return
	}
	l.silent = false
	for _, w := range l.inOrder() {
		w.releaseLocked()
		if lost != nil && lost() {
			w.resetLocked()
		}
	}
	n.wakeLocked()
}

// Cut resets the connections of a link that pick chooses; nil chooses all. New ones
// can be made at once. It says how many were cut.
func (n *Network) Cut(a, b string, pick func() bool) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	cut := 0
	for _, w := range n.linkLocked(a, b).inOrder() {
		if pick == nil || pick() {
			w.resetLocked()
			cut++
		}
	}
	return cut
}

// Connections says how many connections a link has.
func (n *Network) Connections(a, b string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.linkLocked(a, b).wires)
}

// Crash ends a host as kill -9 ends a process: its listeners are gone, its ends of
// connections fail at once, and the other ends learn of it when a reset arrives. The
// host can make nothing new until Revive.
func (n *Network) Crash(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.downs[host] = true
	for _, l := range n.listeners {
		if l.host == host {
			l.closeLocked()
		}
	}
	for _, p := range n.linksOfLocked(host) {
		for _, w := range n.links[p].inOrder() {
			w.crashLocked(host)
		}
	}
	n.wakeLocked()
}

// Revive lets a crashed host listen and dial again.
func (n *Network) Revive(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.downs, host)
}

func (n *Network) linksOfLocked(host string) []pair {
	var all []pair
	for p := range n.links {
		if p.a == host || p.b == host {
			all = append(all, p)
		}
	}
	return all
}

// random is the source of a connection's delays: its link's and its number's.
func (n *Network) random(p pair, number uint64) *rand.Rand {
	h := n.seed
	for _, c := range p.a + "\n" + p.b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(h, number))
}
