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
func (s *service) announce(clients, admin net.Addr, n *node, loading time.Duration) {
	lines := [][2]string{
		{"weir", buildVersion() + ", region " + s.Region},
		{"clients", fmt.Sprintf("http://%s, at most %d connections", reach(clients), maxConnections())},
		{"admin", fmt.Sprintf("http://%s%s: /healthz /readyz /metrics /v1/stats /v1/policy", reach(admin), s.guarded())},
		{"policy", s.policyLine(n.live.Load())},
		{"memory", s.L1Size.String()},
		{"disk", fmt.Sprintf("%s in %s, %d objects are back after %d ms", s.L2Size, s.folder(), n.store.Stats().Objects, loading.Milliseconds())},
	}
	if s.Dev {
		mode := "nothing is cached; --cache caches, and clears the cache when the policy changes"
		if s.Cache {
			mode = "the cache is cleared when the policy changes"
		}
		lines = append(lines, [2]string{"dev", mode})
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
		printDemo(s.con.out, "http://"+reach(clients))
	}
}

func (s *service) guarded() string {
	if s.AdminToken != "" {
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
