package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"weir/l1"
)

// serveCommand runs a node.
type serveCommand struct {
	Origin string `group:"source" placeholder:"URL" help:"Cache this origin; its response headers decide what is kept."`
	Policy string `group:"source" placeholder:"FILE" help:"Cache the origins of this policy file; it says per route what is kept. Read again on SIGHUP and when it changes."`
	Demo   bool   `group:"source" help:"Cache a small built-in origin, and print requests to try."`

	Listen       address       `group:"traffic" default:":8080" help:"Where clients are served."`
	Region       string        `group:"traffic" default:"local" help:"Name of this node's region, in cache-status, metrics and routes of some regions."`
	DrainTimeout time.Duration `group:"traffic" default:"10s" help:"How long a stopping node lets running responses finish."`

	Role       role     `group:"regions" default:"all" enum:"all,edge,shield" help:"all: clients, a memory and a disk tier in one. edge: clients of a region and a memory tier; the rest is asked of --shield. shield: the disk tier, origins and purges for edges alone (default: ${default})."`
	Shield     []string `group:"regions" placeholder:"URL" help:"Where an edge finds its shield, https://HOST:PORT; several addresses of one shield are tried in turn."`
	PeerListen address  `group:"regions" placeholder:"ADDR" help:"Where edges are served."`
	PeerSecret string   `group:"regions" placeholder:"SECRET" help:"What nodes recognise each other by, 16 bytes or more; needed beyond loopback. Better given as WEIR_PEER_SECRET."`

	Data   string `group:"tiers" placeholder:"\"weir-data\"" help:"Folder of the disk tier. With --demo, weir-demo-data by default."`
	L1Size size   `name:"l1-size" group:"tiers" default:"256MiB" help:"Budget of the memory tier."`
	L2Size size   `name:"l2-size" group:"tiers" default:"10GiB" help:"Budget of the disk tier."`

	KVSize   size    `name:"kv-size" group:"values" default:"1GiB" help:"Budget of the values that programs keep, on disk. An edge has none there. Memory for them is an eighth of --l1-size, beside it."`
	KVListen address `name:"kv-listen" group:"values" placeholder:"ADDR" help:"Where programs are served their values, besides the admin listener."`
	KVToken  string  `name:"kv-token" group:"values" placeholder:"TOKEN" help:"Bearer token that --kv-listen asks for; needed beyond loopback. It opens values, purges by tag and the stream of changes, and nothing else. Better given as WEIR_KV_TOKEN."`

	Admin      address `group:"operation" default:"127.0.0.1:8081" help:"Where /healthz, /readyz, /metrics and /v1 are served."`
	AdminToken string  `group:"operation" placeholder:"TOKEN" help:"Bearer token that the admin listener asks for; needed beyond loopback. Better given as WEIR_ADMIN_TOKEN: other users can see command lines."`

	LogLevel  logLevel  `group:"operation" default:"info" help:"Lowest level that is logged: debug, info, warn or error."`
	LogFormat logFormat `group:"operation" default:"console" help:"console for people, json for machines."`

	Profiling bool `group:"operation" help:"Serve /debug/pprof/profile, heap, goroutine and others on the admin listener, for go tool pprof."`

	Dev   bool `group:"development" help:"Development mode: nothing is cached, every answer says disabled."`
	Cache bool `group:"development" help:"With --dev, cache after all, and clear the cache when the policy changes."`
}

var serveGroups = []kong.Group{
	{Key: "source", Title: "What to cache, one of:"},
	{Key: "traffic", Title: "Traffic:"},
	{Key: "regions", Title: "Regions:"},
	{Key: "tiers", Title: "Tiers:"},
	{Key: "values", Title: "Values of programs:"},
	{Key: "operation", Title: "Operation:"},
	{Key: "development", Title: "Development:"},
}

// Help is the long description in --help.
func (serveCommand) Help() string {
	return `Runs until SIGTERM or SIGINT: then it stops accepting, lets running responses finish for --drain-timeout, and
closes the disk tier. A second signal ends it at once. SIGHUP reads the policy file again; a file with a
mistake in it changes nothing and every mistake is logged.

What was stored survives a restart, a crash included. The memory tier's budget counts all that it holds;
plan for about one and a half times that, and 100 MiB, for the process. It stays below the memory limit of
its container. GOMEMLIMIT and GOGC are heard.

Several regions: one node with --role shield --peer-listen, and in each region one or more with --role edge
--shield. All of them have the same policy and the same secret. An edge has no disk tier.`
}

func (serveCommand) manual() manual {
	return manual{
		examples: `weir serve --demo
weir serve --origin http://127.0.0.1:3000
weir serve --policy policy.json --listen :80 --l1-size 2GiB --l2-size 100GiB --data /var/lib/weir
weir serve --policy policy.json --role shield --peer-listen :8443
weir serve --policy policy.json --role edge --region fra --shield https://shield.example:8443`,
		environment: `WEIR_ADMIN_TOKEN, WEIR_PEER_SECRET   Secrets, better given here than on a command line.
GOMEMLIMIT, GOGC                     What Go's collector is told, instead of what weir would tell it.`,
		exit: "0 it was told to end; 1 it could not start, or broke; 2 wrong usage",
	}
}

// Run serves until it is told to stop.
func (c *serveCommand) Run(ctx context.Context, con console) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	return c.serve(ctx, con)
}

// check refuses what cannot mean anything.
func (c *serveCommand) check() error {
	sources := 0
	for _, given := range []bool{c.Origin != "", c.Policy != "", c.Demo} {
		if given {
			sources++
		}
	}
	switch {
	case sources == 0:
		return advised{errors.New("nothing to cache"), `Give an origin:        weir serve --origin http://127.0.0.1:3000
or a policy file:      weir serve --policy policy.json
or see it work first:  weir serve --demo`}
	case sources > 1:
		return advised{errors.New("--origin, --policy and --demo exclude each other"), `A policy file names its own origins, under "origins".`}
	case c.Cache && !c.Dev:
		return advised{errors.New("--cache means something only with --dev"), "Without --dev the cache is on; leave --cache out."}
	case !c.Admin.loopback() && c.AdminToken == "":
		return advised{
			fmt.Errorf("--admin %s can be reached from other machines and has no --admin-token", c.Admin),
			"Whoever reaches the admin listener can read and change this node.\nSet WEIR_ADMIN_TOKEN, or listen on loopback: --admin 127.0.0.1:8081",
		}
	case c.KVListen != "" && !c.KVListen.loopback() && c.KVToken == "":
		return advised{
			fmt.Errorf("--kv-listen %s can be reached from other machines and has no --kv-token", c.KVListen),
			"Whoever reaches it can read and change all values.\nSet WEIR_KV_TOKEN, or listen on loopback: --kv-listen 127.0.0.1:8083",
		}
	case c.KVToken != "" && c.KVListen == "":
		return advised{errors.New("--kv-token means something only with --kv-listen"), "The admin listener asks for --admin-token, for values too."}
	case c.KVSize < minValues:
		return fmt.Errorf("--kv-size must be at least %v", size(minValues))
	case c.L1Size < l1.MinBytes:
		return fmt.Errorf("--l1-size must be at least %v", size(l1.MinBytes))
	case c.L2Size <= 0:
		return errors.New("--l2-size must be more than 0")
	case c.DrainTimeout < 0:
		return errors.New("--drain-timeout must not be negative")
	}
	return c.checkRole()
}

// minValues is the least that l2 takes.
const minValues = 4 << 20

// folder is the data folder. The demo has its own, so that its pages are never
// taken for those of an origin.
func (c *serveCommand) folder() string {
	switch {
	case c.Data != "":
		return c.Data
	case c.Demo:
		return "weir-demo-data"
	}
	return "weir-data"
}
