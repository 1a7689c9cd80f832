package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"weir/bench/process"
)

// cache is a program that the suite can judge, and how it is run. In its configuration
// and arguments stand places that each run puts real ones for:
//
//	127.0.0.1:8000   the suite's origin
//	127.0.0.1:8090   where the cache listens
//	127.0.0.1:8091   a second address, for administration
//	/srv/cache       the cache's folder, which holds the configuration and is its alone
type cache struct {
	name    string
	asks    []string // command that prints the version
	config  string   // glob of the files that it needs
	command []string // runs it in the foreground
}

// weir is built from this module.
var weir = cache{
	name:   "weir",
	config: "deploy/conformance.json",
	command: []string{
		"/srv/cache/weir", "serve", "--policy", "/srv/cache/conformance.json", "--data", "/srv/cache/data",
		"--listen", "127.0.0.1:8090", "--admin", "127.0.0.1:8091", "--log-level", "warn",
	},
}

// peers are configured as well as we know how to; where a setting would make a cache pass more, it is
// set, as long as an administrator could want it in front of a real origin.
var peers = []cache{
	{
		name:    "Traffic Server",
		asks:    []string{"traffic_server", "-V"},
		config:  home + "/peers/trafficserver/*",
		command: []string{"traffic_server", "--run-root=/srv/cache/runroot.yaml"},
	},
	{
		name:    "Apache httpd",
		asks:    []string{"apache2", "-v"},
		config:  home + "/peers/apache2.conf",
		command: []string{"apache2", "-f", "/srv/cache/apache2.conf", "-DFOREGROUND"},
	},
	{
		name:   "Varnish",
		asks:   []string{"varnishd", "-V"},
		config: home + "/peers/varnish.vcl",
		command: []string{
			"varnishd", "-F", "-n", "/srv/cache/varnish", "-a", "127.0.0.1:8090", "-f", "/srv/cache/varnish.vcl",
			"-s", "malloc,64M", "-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600",
		},
	},
	{
		name:    "Squid",
		asks:    []string{"squid", "-v"},
		config:  home + "/peers/squid.conf",
		command: []string{"squid", "-N", "-f", "/srv/cache/squid.conf"},
	},
	{
		name:   "nginx",
		asks:   []string{"nginx", "-v"},
		config: home + "/peers/nginx.conf",
		command: []string{
			"nginx", "-e", "/srv/cache/error.log", "-p", "/srv/cache/", "-c", "/srv/cache/nginx.conf",
			"-g", "daemon off;",
		},
	},
	{
		name:    "HAProxy",
		asks:    []string{"haproxy", "-v"},
		config:  home + "/peers/haproxy.cfg",
		command: []string{"haproxy", "-db", "-f", "/srv/cache/haproxy.cfg"},
	},
}

// start runs a cache in front of the origin, with dir for its folder.
func (c cache) start(ctx context.Context, dir, origin string) (*server, error) {
	listen, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	admin, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	places := strings.NewReplacer("8000", port(origin), "8090", port(listen), "8091", port(admin), "/srv/cache", dir)
	if err := c.configure(dir, places); err != nil {
		return nil, err
	}
	if c.name == weir.name {
		if _, err := process.Build(ctx, dir); err != nil {
			return nil, err
		}
	}
	arguments := make([]string, len(c.command))
	for i, argument := range c.command {
		arguments[i] = places.Replace(argument)
	}
	cmd := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	cmd.Dir = dir
	return startServer(ctx, cmd, dir, listen)
}

// configure copies the configuration into dir.
func (c cache) configure(dir string, places *strings.Replacer) error {
	files, err := filepath.Glob(c.config)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no file matches %s", c.config)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		copied := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(copied, []byte(places.Replace(string(text))), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// release finds the first number with a dot in what a program says about itself.
var release = regexp.MustCompile(`[0-9]+(\.[0-9]+)+`)

// version fails if the cache is not installed.
func (c cache) version(ctx context.Context) (string, error) {
	if len(c.asks) == 0 {
		return "", nil
	}
	said, err := exec.CommandContext(ctx, c.asks[0], c.asks[1:]...).CombinedOutput()
	if err != nil {
		return "", err
	}
	return string(release.Find(said)), nil
}
