package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"weir/api"
	"weir/policy"
	"weir/shield"
)

// service is one running "weir serve".
type service struct {
	*serveCommand
	con  console
	log  *zap.Logger
	node atomic.Pointer[node] // nil while the disk tier is loaded

	journal *api.Journal // of requests
	values  *api.Values  // of programs
	changes *api.Changes // the same, of all nodes

	watch *policyWatch // nil without a policy file

	state  atomic.Pointer[string] // why the node takes no requests; nil when it does
	policy atomic.Pointer[api.PolicyState]
	began  time.Time

	running sync.WaitGroup // servers and watchers
	failed  chan error     // a server that ended by itself
}

// serveValues makes what programs talk to. There is nothing behind it until the node is loaded.
func (s *service) serveValues() {
	now := s.con.now
	if now == nil {
		now = time.Now
	}
	s.values = api.NewValues(api.ValuesOptions{Store: s.kvStore, Epoch: s.kvEpoch, Now: now})
	s.changes = api.NewChanges(api.ChangesOptions{Purges: s.purgeLog, Sees: s.sees})
}

// serve runs a node until ctx ends or a signal comes.
func (c *serveCommand) serve(ctx context.Context, con console) error {
	s := &service{serveCommand: c, con: con, log: newLogger(con.err, c.LogLevel, c.LogFormat), journal: api.NewJournal(), began: time.Now(), failed: make(chan error, 4)}
	defer func() { _ = s.log.Sync() }() // a terminal cannot be synced
	defer s.limitMemory()()
	s.serveValues()
	defer s.changes.Close()
	ctx, stop := untilTold(ctx, s.log)
	defer stop()

	table, stopDemo, err := s.source(ctx)
	if err != nil {
		return err
	}
	defer stopDemo()
	s.notReady("the disk tier is being loaded")
	doors, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer doors.close()
	adminListener, err := listen(ctx, "administration", "--admin", c.Admin)
	if err != nil {
		return err
	}
	admin := s.startAdmin(adminListener)
	defer func() {
		_ = admin.Close()
		s.running.Wait()
	}()
	loading := time.Now()
	n, err := s.load(table, doors)
	if err != nil {
		return err
	}
	watchCtx, stopWatch := context.WithCancel(ctx)
	defer stopWatch()
	s.follow(watchCtx, n)
	n.catchUp(ctx)
	servers, err := s.startDoors(doors, n)
	if err != nil {
		return errors.Join(err, n.close(ctx))
	}
	s.state.Store(nil)
	s.announce(doors, adminListener.Addr(), n, time.Since(loading))

	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	stopWatch()
	return errors.Join(err, s.drain(servers, n))
}

// source makes the first policy table: from an origin's URL, a file, or the demo.
// stop ends the demo's origin.
func (s *service) source(ctx context.Context) (table *policy.Table, stop func(), err error) {
	stop = func() {}
	var src []byte
	switch {
	case s.Policy != "":
		s.watch, table, src, err = newPolicyWatch(s.Policy, s.log)
	case s.Demo:
		var url string
		if url, stop, err = startDemo(ctx); err != nil {
			return nil, nil, err
		}
		src = demoPolicy(url)
		table, err = policy.Compile("the demo's policy", src)
	default:
		if table, err = policy.ForOrigin(s.Origin); err != nil {
			err = usageError{err}
		}
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	s.show(table, src)
	return table, stop, nil
}

// show makes a policy the one that the admin listener shows.
func (s *service) show(table *policy.Table, src []byte) {
	s.policy.Store(&api.PolicyState{Version: table.Version, Deployment: table.Deployment, Source: src})
}

// load opens the tiers.
func (s *service) load(table *policy.Table, d doors) (*node, error) {
	n, err := openNode(table, nodeOptions{
		role: s.Role, name: d.name(), shields: s.Shield, secret: s.PeerSecret, peers: s.PeerListen != "",
		region: s.Region, folder: s.folder(), l1Size: int64(s.L1Size), l2Size: int64(s.L2Size), kvSize: int64(s.KVSize),
		disabled: s.Dev && !s.Cache, now: s.con.now, log: s.log, journal: s.journal,
	})
	if err == nil {
		s.node.Store(n)
	}
	return n, err
}

// follow reloads the policy when its file changes or SIGHUP comes.
func (s *service) follow(ctx context.Context, n *node) {
	hangup, stop := hangups()
	s.running.Go(func() {
		defer stop()
		if s.watch == nil {
			for {
				select {
				case <-hangup:
					s.log.Info("SIGHUP: there is no policy file to reload")
				case <-ctx.Done():
					return
				}
			}
		}
		s.watch.apply = func(table *policy.Table, src []byte) {
			n.use(table)
			s.show(table, src)
			if s.Dev && s.Cache {
				if err := n.clear(); err != nil {
					s.log.Error("the cache is cleared only until the next start", zap.Error(err))
				}
			}
		}
		s.watch.run(ctx, hangup)
	})
}

func (s *service) startAdmin(listener net.Listener) *http.Server {
	handler := api.NewAdmin(api.AdminOptions{
		Token: s.AdminToken, Log: s.log, Ready: s.ready, Stats: s.stats, Purge: s.purge, Explain: s.explain,
		Policy: func() api.PolicyState { return *s.policy.Load() }, Metrics: s.metrics(), Journal: s.journal, Values: s.values, Changes: s.changes,
		Profiling: s.Profiling,
	})
	server := api.NewAdminServer(handler, s.log)
	s.start("the admin listener", server, listener)
	return server
}

// start serves until the server is closed. Anything else that ends it ends the node.
func (s *service) start(what string, server *http.Server, listener net.Listener) {
	s.running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("%s broke: %w", what, err)
		}
	})
}

// purge carries out an order in all regions, once the node is loaded.
func (s *service) purge(ctx context.Context, order shield.PurgeOrder) (shield.PurgeReport, error) {
	n := s.node.Load()
	if n == nil {
		return shield.PurgeReport{}, shield.ErrClosed
	}
	return n.purge(ctx, order)
}

// explain tells what becomes of a request, once the node is loaded.
func (s *service) explain(ctx context.Context, q api.Question) (*api.Explanation, error) {
	n := s.node.Load()
	if n == nil {
		return nil, shield.ErrClosed
	}
	return n.explainer.Explain(ctx, q)
}

func (s *service) notReady(why string) { s.state.Store(&why) }

func (s *service) ready() error {
	if why := s.state.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// drain stops accepting, lets running responses finish, and closes the tiers. All
// of it together takes little more than the drain timeout.
func (s *service) drain(servers []*http.Server, n *node) error {
	s.notReady("it is being stopped")
	s.changes.Close() // or their server would wait for them
	ctx, cancel := context.WithTimeout(context.Background(), s.DrainTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				s.log.Warn("responses were cut off", zap.Int64("running", doorStats(n).Active))
				_ = server.Close()
			}
		})
	}
	all.Wait()
	if n.hits != nil {
		if err := n.hits.Drain(ctx); err != nil {
			s.log.Warn("answers were cut off", zap.Error(err))
		}
	}
	if err := n.close(ctx); err != nil {
		return fmt.Errorf("close the disk tier: %w", err)
	}
	s.log.Info("ended")
	return nil
}
