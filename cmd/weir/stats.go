package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"weir/api"
	"weir/api/metrics"
	"weir/api/peer"
	"weir/l1"
	"weir/l2"
	"weir/rfc9111"
	"weir/shield"
)

// nodeStats is what /v1/stats answers.
type nodeStats struct {
	Version string        `json:"version"`
	Region  string        `json:"region"`
	Role    role          `json:"role"`
	Policy  string        `json:"policy"`
	Deploy  string        `json:"deployment,omitempty"`
	Uptime  int64         `json:"uptimeSeconds"`
	Ready   bool          `json:"ready"`
	Epoch   uint64        `json:"epoch"` // of the purges that are durable and hold here
	Door    api.DoorStats `json:"door"`
	L1      l1.Stats      `json:"l1"`
	Shield  shield.Stats  `json:"shield"`
	L2      l2.Stats      `json:"l2"`

	Values metrics.ValuesStats `json:"values"` // of programs

	Purges map[string]uint64 `json:"purges"` // what orders named here since the start, by kind

	Parent  *peer.Stats       `json:"parent,omitempty"`  // of an edge: how it gets along with its shield
	Regions []api.RegionState `json:"regions,omitempty"` // of a shield: who follows its purges
}

// stats collects the counters of all tiers for /v1/stats.
func (s *service) stats() any {
	inUse := s.policy.Load()
	all := nodeStats{
		Version: buildVersion(), Region: s.Region, Role: s.Role, Policy: inUse.Version, Deploy: inUse.Deployment,
		Uptime: int64(time.Since(s.began).Seconds()), Ready: s.ready() == nil,
		Door: of(s, doorStats)(), L1: of(s, l1Stats)(), Shield: of(s, shieldStats)(), L2: of(s, l2Stats)(),
		Values: of(s, valuesStats)(),
	}
	nodes := of(s, nodeStatsOf)()
	all.Epoch, all.Purges, all.Parent, all.Regions = nodes.Epoch, nodes.Purges, nodes.Parent, nodes.Regions
	return all
}

// metrics serves the same counters to Prometheus.
func (s *service) metrics() http.Handler {
	return metrics.Handler(metrics.Sources{
		Region: s.Region, ErrorLog: zap.NewStdLog(s.log),
		Door: of(s, doorStats), L1: of(s, l1Stats), Shield: of(s, shieldStats), L2: of(s, l2Stats), Nodes: of(s, nodeStatsOf), Values: of(s, valuesStats),
		Policy: func() (p metrics.PolicyStats) {
			p.Version = s.policy.Load().Version
			if s.watch != nil {
				p.Accepted, p.Rejected = s.watch.accepted.Load(), s.watch.rejected.Load()
			}
			return p
		},
	})
}

// nodeStatsOf is what there is to say of purges and other nodes.
func nodeStatsOf(n *node) metrics.NodeStats {
	s := metrics.NodeStats{Epoch: n.purges.Current(), Purges: n.ordered.counts()}
	if n.parent != nil {
		parent := n.parent.Stats()
		s.Parent = &parent
	}
	if n.peers != nil {
		s.Regions = n.peers.Regions()
	}
	return s
}
func shieldStats(n *node) shield.Stats { return n.shield.Stats() }

// doorStats are those of the door for clients, and where there is none of that for edges.
func doorStats(n *node) (none api.DoorStats) {
	switch {
	case n.door != nil:
		return n.door.Stats()
	case n.peers != nil:
		return n.peers.Stats()
	}
	return none
}

func l1Stats(n *node) (none l1.Stats) {
	if n.memory == nil {
		return none
	}
	return n.memory.Stats()
}

func l2Stats(n *node) (none l2.Stats) {
	if n.store == nil {
		return none
	}
	return n.store.Stats()
}

// of returns what reads a part of the node's counters, zero while the node is loaded.
func of[T any](s *service, part func(*node) T) func() T {
	return func() (zero T) {
		if n := s.node.Load(); n != nil {
			return part(n)
		}
		return zero
	}
}

// statsCommand shows a node's counters.
type statsCommand struct {
	nodeFlags
	Once bool `help:"Print them once, as without a terminal."`
	JSON bool `name:"json" help:"Print the answer of /v1/stats as it is."`
}

// Help is the long description in --help.
func (statsCommand) Help() string {
	return `On a terminal, a screen that is drawn again each second until it is interrupted: requests a second by x-cache, the
share that came from the cache, what is in memory and on disk, what origins were asked, purges, and the regions or
the shield of the node. Elsewhere, or with --once, the totals since the node started.`
}

func (statsCommand) manual() manual {
	return manual{
		examples: `weir stats
weir stats --once --admin http://10.0.0.7:8081
weir stats --json | jq .l1.bytes`,
	}
}

// Run shows the counters as whoever looks can read them.
func (c *statsCommand) Run(ctx context.Context, con console) error {
	if _, ok := con.terminal(); ok && !c.JSON && !c.Once {
		return c.live(ctx, con)
	}
	if c.JSON {
		body, err := c.get(ctx, con, "/v1/stats")
		if err == nil {
			_, err = con.out.Write(body)
		}
		return err
	}
	all, err := c.fetch(ctx, con)
	if err != nil {
		return err
	}
	return all.print(con.out)
}

// fetch asks the node for its counters.
func (c *statsCommand) fetch(ctx context.Context, con console) (*nodeStats, error) {
	body, err := c.get(ctx, con, "/v1/stats")
	if err != nil {
		return nil, err
	}
	all := new(nodeStats)
	if err := json.Unmarshal(body, all); err != nil {
		return nil, fmt.Errorf("the answer of %s is not what weir nodes answer: %w", c.Admin, err)
	}
	return all, nil
}

// print writes a line for each part of the node.
func (n *nodeStats) print(w io.Writer) error {
	byUse := make(map[rfc9111.Use]uint64)
	total := uint64(0)
	for _, r := range n.Door.Requests {
		byUse[r.Use] += r.Count
		total += r.Count
	}
	cached := byUse[rfc9111.Hit] + byUse[rfc9111.Stale]
	state := "ready"
	if !n.Ready {
		state = "not ready"
	}
	if n.Deploy != "" {
		state += ", deployment " + n.Deploy
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "node\t%s, region %s, up %v, %s\n", n.Version, n.Region, time.Duration(n.Uptime)*time.Second, state)
	fmt.Fprintf(t, "requests\t%d: %d hit, %d stale, %d miss, %d bypass; %.1f %% from the cache\n",
		total, byUse[rfc9111.Hit], byUse[rfc9111.Stale], byUse[rfc9111.Miss], byUse[rfc9111.Bypass], percent(cached, total))
	fmt.Fprintf(t, "clients\t%d requests running, %d upgraded connections, %d broken off, %s sent\n",
		n.Door.Active, n.Door.Upgrades, n.Door.Aborted, roughly(int64(n.Door.BytesSent)))
	fmt.Fprintf(t, "memory\t%d objects in %s; %d hits, %d stale, %d misses\n",
		n.L1.Objects, roughly(n.L1.Bytes), n.L1.Hits, n.L1.Stale, n.L1.Misses)
	fmt.Fprintf(t, "disk\t%d objects in %s of %s; %d hits, %d misses, %d damaged\n",
		n.L2.Objects, roughly(n.L2.Disk), roughly(n.L2.Budget), n.L2.Hits, n.L2.Misses, n.L2.Damaged)
	n.printValues(t)
	fmt.Fprintf(t, "origins\t%d requests, %d of them again; %d answers shared, %d revalidated; %d flights, %d waiting\n",
		n.Shield.OriginRequests, n.Shield.Retries, n.Shield.Collapsed, n.Shield.Validated, n.Shield.Flights, n.Shield.Waiters)
	for _, u := range n.Shield.Upstreams {
		state := "up"
		if !u.Up {
			state = "down"
		}
		fmt.Fprintf(t, "\t%s %s: %s, %d requests\n", u.Origin, u.URL, state, u.Requests)
	}
	n.printNodes(t)
	return t.Flush()
}

// printValues writes what there is to say of the values of programs.
func (n *nodeStats) printValues(t io.Writer) {
	if m := n.Values.Memory; m != nil {
		fmt.Fprintf(t, "values\t%d in memory, %s; %d hits, %d misses\n", m.Values, roughly(m.Bytes), m.Hits, m.Misses)
	}
	if d := n.Values.Disk; d != nil {
		fmt.Fprintf(t, "values\t%d on disk, %s of %s; %d evicted, %d expired, %d damaged\n",
			d.Values, roughly(d.Bytes), roughly(d.Budget), d.Evicted, d.Expired, d.Damaged)
	}
}

// printNodes writes what there is to say of purges and other nodes.
func (n *nodeStats) printNodes(t io.Writer) {
	fmt.Fprintf(t, "purges\tepoch %d; %d rules in force\n", n.Epoch, n.Shield.Rules)
	for _, kind := range slices.Sorted(maps.Keys(n.Purges)) {
		fmt.Fprintf(t, "\t%s: %d\n", kind, n.Purges[kind])
	}
	if p := n.Parent; p != nil {
		state := "followed"
		if !p.Stream {
			state = "out of reach"
		}
		fmt.Fprintf(t, "shield\t%s: %s, heard %.0f s ago; %d requests, %d questions for purges, %d requests to origins instead\n",
			p.Shield, state, p.Silence, p.Fetches, p.CatchUps, n.Shield.Fallbacks)
	}
	for i, r := range n.Regions {
		name, state := "", "not connected since "+r.Since.Format(time.DateTime)
		if i == 0 {
			name = "regions"
		}
		if r.Connected {
			state = fmt.Sprintf("%s, %d epochs behind", r.Node, n.Epoch-min(r.Epoch, n.Epoch))
		}
		fmt.Fprintf(t, "%s\t%s: %s\n", name, r.Region, state)
	}
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// roughly is a number of bytes for people.
func roughly(bytes int64) string {
	for _, u := range sizeUnits[:4] {
		if bytes >= u.bytes {
			return fmt.Sprintf("%.1f %s", float64(bytes)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprintf("%d B", bytes)
}
