package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"weir/api"
	"weir/api/peer"
)

// doors are the listeners of a node besides that for its administration. What its role
// has no use for is nil.
type doors struct {
	clients, peers, values net.Listener
}

// listen opens the listeners of the node's role, before anything else is touched.
func (s *service) listen(ctx context.Context) (d doors, err error) {
	if s.Role != roleShield {
		if d.clients, err = listen(ctx, "clients", "--listen", s.Listen); err != nil {
			return d, err
		}
	}
	if s.PeerListen != "" {
		if d.peers, err = listen(ctx, "edges", "--peer-listen", s.PeerListen); err != nil {
			d.close()
			return d, err
		}
	}
	if s.KVListen != "" {
		if d.values, err = listen(ctx, "values", "--kv-listen", s.KVListen); err != nil {
			d.close()
		}
	}
	return d, err
}

// name is where clients find the node.
func (d doors) name() string {
	if d.clients == nil {
		return ""
	}
	return d.clients.Addr().String()
}

// close closes what a drain has not closed already.
func (d doors) close() {
	for _, l := range []net.Listener{d.clients, d.peers, d.values} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// startDoors serves clients, edges and programs, whoever there is to be.
func (s *service) startDoors(d doors, n *node) (servers []*http.Server, err error) {
	if d.peers != nil {
		credentials, err := peer.NewCredentials(s.PeerSecret)
		if err != nil {
			return nil, fmt.Errorf("the way between nodes: %w", err)
		}
		server := api.NewServer(n.peers, s.log)
		s.start("the listener for edges", server, peer.Listener(api.Limit(d.peers, maxConnections()), credentials))
		servers = append(servers, server)
	}
	if d.clients != nil {
		server := api.NewServer(n.door, s.log)
		guarded := api.Guard(api.Limit(d.clients, maxConnections()), api.GuardOptions{Region: s.Region, Refused: n.door.Refused, Hits: n.hits})
		s.start("the client listener", server, guarded)
		servers = append(servers, server)
	}
	if d.values != nil {
		handler := api.NewKV(api.KVOptions{Token: s.KVToken, Values: s.values, Changes: s.changes, Purge: s.purge, Ready: s.ready, Log: s.log})
		server := api.NewAdminServer(handler, s.log)
		s.start("the listener for values", server, api.Limit(d.values, maxConnections()))
		servers = append(servers, server)
	}
	return servers, nil
}
