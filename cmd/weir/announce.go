package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"go.uber.org/zap"

	"weir/policy"
)

// announce says what was started: a readable line for each listener, tier and
// budget, or one log entry when logs are for machines.
func (s *service) announce(d doors, admin net.Addr, n *node, loading time.Duration) {
	lines := [][2]string{{"weir", fmt.Sprintf("%s, region %s, role %s", buildVersion(), s.Region, s.Role)}}
	tell := func(what, text string) { lines = append(lines, [2]string{what, text}) }
	if d.clients != nil {
		tell("clients", fmt.Sprintf("http://%s, at most %d connections", reach(d.clients.Addr()), maxConnections()))
	}
	if d.peers != nil {
		tell("edges", fmt.Sprintf("%s://%s", s.peerScheme(), reach(d.peers.Addr())))
	}
	tell("admin", fmt.Sprintf("http://%s%s: /healthz /readyz /metrics /v1/stats /v1/policy /v1/purge /v1/kv", reach(admin), guarded(s.AdminToken)))
	if d.values != nil {
		tell("values", fmt.Sprintf("http://%s%s: /v1/kv /v1/purge /v1/changes", reach(d.values.Addr()), guarded(s.KVToken)))
	}
	tell("policy", s.policyLine(n.live.Load()))
	if n.memory != nil {
		tell("memory", s.L1Size.String())
	}
	if n.store != nil {
		tell("disk", fmt.Sprintf("%s in %s, %d objects are back after %d ms", s.L2Size, s.folder(), n.store.Stats().Objects, loading.Milliseconds()))
	} else {
		tell("shield", strings.Join(s.Shield, ", "))
	}
	if s.Dev {
		mode := "nothing is cached; --cache caches, and clears the cache when the policy changes"
		if s.Cache {
			mode = "the cache is cleared when the policy changes"
		}
		tell("dev", mode)
	}
	if s.LogFormat == "json" {
		fields := make([]zap.Field, 0, len(lines))
		for _, l := range lines {
			fields = append(fields, zap.String(l[0], l[1]))
		}
		s.log.Info("started", fields...)
	} else {
		var text strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&text, "%-8s %s\n", l[0], l[1])
		}
		fmt.Fprint(s.con.out, text.String())
	}
	if s.Demo {
		printDemo(s.con.out, "http://"+reach(d.clients.Addr()))
	}
}

// peerScheme says whether edges prove the secret.
func (s *service) peerScheme() string {
	if s.PeerSecret != "" {
		return "https"
	}
	return "http"
}

func guarded(token string) string {
	if token != "" {
		return " with a token"
	}
	return ""
}

func (s *service) policyLine(table *policy.Table) string {
	switch {
	case s.Policy != "":
		return fmt.Sprintf("%s, %s, version %s", s.Policy, summary(table), table.Version)
	case s.Demo:
		return "of the demo, " + summary(table)
	}
	return s.Origin + ", its response headers decide what is kept"
}
