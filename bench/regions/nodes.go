package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"weir/api"
	"weir/api/peer"
	"weir/cmd/weir/simnet"
	"weir/l2"
	"weir/policy"
	"weir/shield"
)

const secret = "known to all nodes of the bench"

// center is the shield's process, as far as purges go.
type center struct {
	store   *l2.Store
	purges  *shield.Purges
	shield  *shield.Shield
	door    *api.PeerDoor
	server  *http.Server
	serving sync.WaitGroup
	addr    string
}

func openCenter(ctx context.Context, dir string) (c *center, err error) {
	c = new(center)
	table, err := policy.ForOrigin("http://127.0.0.1:9")
	if err != nil {
		return nil, err
	}
	credentials, err := peer.NewCredentials(secret)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.addr = listener.Addr().String()
	if c.store, err = l2.Open(dir, l2.Options{}); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if c.purges, err = shield.NewPurges(c.store.Log()); err != nil {
		return nil, errors.Join(err, c.store.Close(), listener.Close())
	}
	c.shield = shield.New(nil, c.purges, shield.Options{})
	c.door = api.NewPeerDoor(api.PeerOptions{
		Tier: c.shield, Table: func() *policy.Table { return table }, Purges: c.purges,
		Purge: func(context.Context, shield.PurgeOrder) (shield.PurgeReport, error) {
			return shield.PurgeReport{}, errors.New("nobody purges through an edge here")
		},
	})
	c.server = api.NewServer(c.door, nil)
	c.serving.Go(func() { _ = c.server.Serve(peer.Listener(listener, credentials)) })
	return c, nil
}

func (c *center) close() error {
	err := c.server.Close()
	c.door.Close()
	c.serving.Wait()
	return errors.Join(err, c.shield.Close(context.Background()), c.store.Close())
}

// edge is an edge's process, as far as purges go.
type edge struct {
	purges  *shield.Purges
	client  *peer.Client
	proxy   *proxy
	running sync.WaitGroup
}

func openEdge(ctx context.Context, c *center, r simnet.Region) (e *edge, err error) {
	e = &edge{purges: shield.NewFollower()}
	if e.proxy, err = openProxy(ctx, c.addr, r.RoundTrip/2); err != nil {
		return nil, err
	}
	e.client, err = peer.NewClient(peer.ClientOptions{
		URLs: []string{"https://" + e.proxy.addr()}, Secret: secret, Region: r.Name, Node: r.Name, Purges: e.purges,
	})
	if err != nil {
		e.proxy.close()
		return nil, err
	}
	e.running.Go(func() { e.client.Run(context.Background()) })
	return e, nil
}

func (e *edge) close() {
	e.client.Close()
	e.running.Wait()
	e.proxy.close()
}
