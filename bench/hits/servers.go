package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/bench/process"
)

// server is a cache that runs as a child process.
type server struct {
	name, addr string
	cmd        *exec.Cmd
	output     bytes.Buffer
}

func (s *server) page(sc scene) string { return fmt.Sprintf("http://%s/%d", s.addr, sc.body) }

func (s *server) pids() []int { return family(s.cmd.Process.Pid) }

// stop ends the server and waits for it. What it started ends with it.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	_ = s.cmd.Wait()
}

// peer knows how a cache is started: what it runs, and the command for it.
type peer struct {
	program string
	command func(ctx context.Context, at site) (*exec.Cmd, error)
}

// site is where a server runs: its folder, its address, the origin's, and how many processors it has.
type site struct {
	dir, addr, origin string
	cpus              int
}

var peers = map[string]peer{
	"nginx":   {"nginx", nginx},
	"haproxy": {"haproxy", haproxy},
	"varnish": {"varnishd", varnish},
}

// startAll starts weir and those peers that are on the PATH.
func startAll(ctx context.Context, o options, dir, origin string) (servers []*server, err error) {
	for _, name := range o.peers {
		p, known := peers[name]
		switch {
		case name == "weir":
			p.command = weir(o.binary)
		case !known:
			return servers, fmt.Errorf("%q is not a server that this program knows", name)
		default:
			if _, err := exec.LookPath(p.program); err != nil {
				fmt.Printf("%s is not on the PATH and left out\n", p.program)
				continue
			}
		}
		s, err := start(ctx, name, p, site{dir: filepath.Join(dir, name), origin: origin}, o.where)
		if err != nil {
			return servers, fmt.Errorf("%s: %w", name, err)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func start(ctx context.Context, name string, p peer, at site, where places) (s *server, err error) {
	if err := os.Mkdir(at.dir, 0o755); err != nil {
		return nil, err
	}
	if at.addr, err = process.FreeAddress(ctx); err != nil {
		return nil, err
	}
	at.cpus = where.servers.Count()
	s = &server{name: name, addr: at.addr}
	if s.cmd, err = p.command(ctx, at); err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := where.serving(s.cmd.Start); err != nil {
		return nil, err
	}
	for range 500 {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			return s, conn.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.stop()
	return nil, errors.New("does not listen: " + s.output.String())
}

// tempDir is in memory if it can be.
func tempDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

func weir(binary string) func(ctx context.Context, at site) (*exec.Cmd, error) {
	return func(ctx context.Context, at site) (*exec.Cmd, error) {
		if binary == "" {
			var err error
			if binary, err = process.Build(ctx, at.dir); err != nil {
				return nil, err
			}
		}
		admin, err := process.FreeAddress(ctx)
		return exec.CommandContext(ctx, binary, "serve", "--origin", "http://"+at.origin, "--listen", at.addr, "--admin", admin,
			"--data", filepath.Join(at.dir, "data"), "--log-level", "warn"), err
	}
}

// config writes a configuration in which ADDR, PORT, ORIGIN, DIR and CPUS stand for what they say.
func (at site) config(text string) (file string, err error) {
	_, port, err := net.SplitHostPort(at.addr)
	if err != nil {
		return "", err
	}
	file = filepath.Join(at.dir, "config")
	text = strings.NewReplacer("ADDR", at.addr, "PORT", port, "ORIGIN", at.origin, "DIR", at.dir, "CPUS", strconv.Itoa(at.cpus)).Replace(text)
	return file, os.WriteFile(file, []byte(text), 0o644) //nolint:gosec // varnishd reads it as another user
}

func nginx(ctx context.Context, at site) (*exec.Cmd, error) {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	file, err := at.config(user + `
daemon off;
worker_processes CPUS;
worker_rlimit_nofile 16384;
pid DIR/pid;
error_log DIR/error.log crit;
events { worker_connections 8192; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 60s;
  keepalive_requests 1000000000;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  proxy_cache_path DIR/cache levels=1:2 keys_zone=pages:32m max_size=1g inactive=1h use_temp_path=off;
  upstream origin { server ORIGIN; keepalive 64; }
  server {
    listen ADDR;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache pages;
      proxy_cache_lock on;
      add_header X-Cache $upstream_cache_status;
    }
  }
}
`)
	return exec.CommandContext(ctx, "nginx", "-c", file, "-e", filepath.Join(at.dir, "start.log")), err
}

func haproxy(ctx context.Context, at site) (*exec.Cmd, error) {
	file, err := at.config(`
global
  maxconn 4096
  tune.bufsize 32768
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
cache pages
  total-max-size 512
  max-object-size 1048576
  max-age 3600
frontend clients
  bind ADDR
  filter cache pages
  http-request cache-use pages
  http-response cache-store pages
  default_backend origin
backend origin
  server origin ORIGIN
`)
	return exec.CommandContext(ctx, "haproxy", "-db", "-f", file), err
}

func varnish(ctx context.Context, at site) (*exec.Cmd, error) {
	host, port, err := net.SplitHostPort(at.origin)
	if err != nil {
		return nil, err
	}
	// Varnish passes requests with cookies unless it is told otherwise.
	file, err := at.config(`vcl 4.1;
backend origin { .host = "` + host + `"; .port = "` + port + `"; }
sub vcl_recv { unset req.http.Cookie; }
`)
	return exec.CommandContext(ctx, "varnishd", "-F", "-a", at.addr, "-f", file, "-n", filepath.Join(at.dir, "work"), "-s", "malloc,512m"), err
}
