package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"weir/api"
	"weir/api/peer"
	"weir/internal/tiers"
	"weir/kv"
	"weir/l1"
	"weir/l2"
	"weir/policy"
	"weir/shield"
)

// node is what one process consists of, wired together: the door asks l1, l1 asks the
// shield, the shield asks the disk tier and the origins, or the shield of all regions.
type node struct {
	opts   nodeOptions
	log    *zap.Logger
	now    func() time.Time
	live   *policy.Live
	purges *shield.Purges
	shield *shield.Shield

	store  *l2.Store     // nil at an edge
	values *nodeValues   // of programs; nil when they could not be opened
	parent *peer.Client  // of an edge, otherwise nil
	memory *l1.Tier      // nil where no clients are served
	door   *api.Door     // the same
	hits   *api.Hits     // the same
	peers  *api.PeerDoor // nil where no edges are served

	explainer *api.Explainer

	following sync.WaitGroup // of the parent's log
	ordered   ordered
}

// role is what a node is for.
type role string

const (
	roleAll    role = "all"    // clients, and edges if they are listened to
	roleEdge   role = "edge"   // clients of one region; another node is its shield
	roleShield role = "shield" // edges alone
)

// nodeOptions are what a node is made of.
type nodeOptions struct {
	role           role
	region         string
	folder         string // not of an edge
	l1Size, l2Size int64
	kvSize         int64            // of values
	disabled       bool             // nothing is cached
	now            func() time.Time // nil: time.Now
	log            *zap.Logger
	journal        *api.Journal // of requests; nil: none

	name    string   // of an edge: where it listens to clients, "" for nowhere
	shields []string // of an edge: where to ask
	secret  string   // between nodes
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	peers   bool // edges are served
}

// openNode puts the tiers on top of each other.
func openNode(table *policy.Table, o nodeOptions) (_ *node, err error) {
	if o.now == nil {
		o.now = time.Now
	}
	n := &node{opts: o, log: o.log, now: o.now, live: policy.NewLive(table)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close(context.Background()))
		}
	}()
	filled := new(tiers.Listener)
	below := shield.Options{Now: o.now, Report: troubleReporter(o.log)}
	if o.role != roleShield {
		below.Listener = filled
	}
	if o.role == roleEdge {
		err = n.openEdge(below)
	} else {
		err = n.openShield(below)
	}
	if err == nil && o.role != roleShield {
		err = n.openDoor(filled)
	}
	if err == nil && o.peers {
		err = n.openPeers()
	}
	if err != nil {
		return nil, err
	}
	n.explainer = api.NewExplainer(n.entrance(), n.memory, n.shield, n.parent)
	n.shield.SetTable(table)
	return n, nil
}

// openShield opens the data folder and makes what stands on it.
func (n *node) openShield(o shield.Options) (err error) {
	n.store, err = l2.Open(n.opts.folder, l2.Options{MaxBytes: n.opts.l2Size, Report: o.Report})
	if err != nil {
		return folderAdvice(n.opts.folder, err)
	}
	if n.purges, err = tiers.OpenPurges(n.store.Log(), o.Report); err != nil {
		return err
	}
	n.openValues(o.Report)
	n.shield = shield.New(tiers.Store{Store: n.store}, n.purges, o)
	return nil
}

// openEdge makes what asks the shield of all regions.
func (n *node) openEdge(o shield.Options) (err error) {
	n.purges = shield.NewFollower()
	n.parent, err = peer.NewClient(peer.ClientOptions{
		URLs: n.opts.shields, Secret: n.opts.secret, Region: n.opts.region, Node: nodeName(n.opts.name), Purges: n.purges,
		MaxBlind:  func() time.Duration { return n.live.Load().Purge.MaxBlind },
		Partition: func() policy.OnPartition { return n.live.Load().Purge.OnPartition },
		Dial:      n.opts.dial, Now: n.opts.now, Report: o.Report,
		Pushed: func(p kv.Pushed) { n.values.edge.Take(p) }, // followValues comes before Run
	})
	if err != nil {
		return err
	}
	o.Parent = n.parent
	n.followValues()
	n.shield = shield.New(nil, n.purges, o)
	n.following.Go(func() { n.parent.Run(context.Background()) })
	return nil
}

// openDoor makes the memory tier and the door in front of it.
func (n *node) openDoor(filled *tiers.Listener) (err error) {
	var epochs l1.Epochs = tiers.InForce{Purges: n.purges}
	if n.parent != nil {
		epochs = n.parent
	}
	if n.memory, err = l1.New(n.shield, epochs, l1.Options{MaxBytes: n.opts.l1Size, MaxFiles: bodyFiles(descriptors()), Now: n.now}); err != nil {
		return err
	}
	filled.Use(n.memory)
	n.door = api.NewDoor(n.memory, n.live.Load, api.DoorOptions{
		Region: n.opts.region, Epoch: n.purges.Current, Now: n.now, Log: n.log, Journal: n.opts.journal,
		Disabled: n.disabled, Settling: n.live.Settling,
	})
	n.hits = api.NewHits(n.door, n.memory)
	return nil
}

// openPeers makes the door for edges.
func (n *node) openPeers() error {
	seen := regionsFile(n.opts.folder)
	regions, err := seen.load()
	if err != nil {
		n.log.Warn("the regions that were connected before are not known", zap.Error(err))
	}
	n.peers = api.NewPeerDoor(api.PeerOptions{
		Tier: n.shield, Explains: n.shield, Table: n.live.Load, Purges: n.purges, Purge: n.purgeHere, Values: n.values.kept(),
		Now: n.now, Log: n.log, Journal: n.opts.journal, Settling: n.live.Settling, Disabled: n.disabled,
		Seen: regions,
		OnSeen: func(regions []string) {
			if err := seen.save(regions); err != nil {
				n.log.Warn("a restart will not know all regions", zap.Error(err))
			}
		},
	})
	return nil
}

// entrance is the door by which requests are explained: that of clients, or at a shield
// without any one like it.
func (n *node) entrance() *api.Door {
	if n.door != nil {
		return n.door
	}
	return api.NewDoor(n.shield, n.live.Load, api.DoorOptions{
		Region: n.opts.region, Epoch: n.purges.Current, Now: n.now, Disabled: n.disabled, Settling: n.live.Settling,
	})
}

func (n *node) disabled() bool { return n.opts.disabled }

// nodeName tells a node from others of its region by its machine and where clients find
// it there. It is the same after a restart: a node that was lost is expected back.
func nodeName(listens string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	if listens == "" {
		listens = rand.Text()[:6]
	}
	return host + "-" + listens
}

// catchUp waits until an edge knows the purge log, but not for long: without a shield it
// serves what the policy allows.
func (n *node) catchUp(ctx context.Context) {
	if n.parent == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpWait)
	defer cancel()
	if n.purges.Await(ctx, 0) != nil {
		n.log.Warn("the shield has not answered yet; serving without it")
	}
}

// catchUpWait is how long an edge that starts waits for its shield.
const catchUpWait = 2 * time.Second

// use puts a table in force. The shield knows its origins first, so that no
// request comes with an origin that is not there.
func (n *node) use(table *policy.Table) {
	n.shield.SetTable(table)
	n.live.Swap(table, n.now())
}

// purge carries out an order in all regions.
func (n *node) purge(ctx context.Context, order shield.PurgeOrder) (shield.PurgeReport, error) {
	switch {
	case n.parent != nil:
		if _, err := shield.Rules(n.live.Load(), order); err != nil {
			return shield.PurgeReport{}, err // in the words for those who are here
		}
		return n.parent.Purge(ctx, order)
	case n.peers != nil:
		return n.peers.Purge(ctx, order)
	}
	return n.purgeHere(ctx, order)
}

// purgeHere carries out an order in this node. Its memory tier sees it as soon as the log.
func (n *node) purgeHere(_ context.Context, order shield.PurgeOrder) (shield.PurgeReport, error) {
	report, err := n.shield.Purge(n.live.Load(), order)
	if err != nil || order.DryRun {
		return report, err
	}
	n.ordered.add(order)
	if n.memory != nil {
		report.Regions = append(report.Regions, shield.RegionReport{Region: n.opts.region})
	}
	return report, nil
}

// clear forgets everything that is cached here.
func (n *node) clear() (err error) {
	if n.parent == nil { // an edge's rule would be one for all regions
		_, err = n.purges.Add(shield.AllRule())
	}
	if n.memory != nil {
		n.memory.Clear()
	}
	return err
}

// close ends upgraded connections, fills and tiers, from the client inwards. Fills
// still running when ctx ends are cut off.
func (n *node) close(ctx context.Context) error {
	if n.door != nil {
		n.door.Close()
	}
	if n.peers != nil {
		n.peers.Close()
	}
	if n.shield != nil {
		if err := n.shield.Close(ctx); err != nil {
			n.log.Warn("fills were cut off", zap.Error(err))
		}
	}
	if n.parent != nil {
		n.parent.Close()
		n.following.Wait()
	}
	if n.memory != nil {
		n.memory.Close()
	}
	err := n.values.close() // before the store, whose log it writes to
	if n.store != nil {
		err = errors.Join(err, n.store.Close())
	}
	return err
}
