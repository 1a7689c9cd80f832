package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"weir/bench/process"
)

// start starts a shield and three edges, and returns where the edges are administered.
func start(ctx context.Context, dir string) (edges []string, stop func(), err error) {
	var nodes []*process.Node
	stop = func() {
		for _, n := range nodes {
			n.Kill()
		}
	}
	binary, err := process.Build(ctx, dir)
	if err != nil {
		return nil, stop, err
	}
	var free [8]string
	for i := range free {
		if free[i], err = process.FreeAddress(ctx); err != nil {
			return nil, stop, err
		}
	}
	const origin = "http://127.0.0.1:1" // nobody asks it
	shield := &process.Node{Binary: binary, Origin: origin, Admin: free[0], Data: filepath.Join(dir, "data"), Args: []string{"--role", "shield", "--peer-listen", free[1]}}
	nodes = append(nodes, shield)
	for i := 2; i < len(free); i += 2 {
		nodes = append(nodes, &process.Node{
			Binary: binary, Origin: origin, Listen: free[i], Admin: free[i+1],
			Args: []string{"--role", "edge", "--region", fmt.Sprint("r", i/2), "--shield", "http://" + free[1]},
		})
		edges = append(edges, free[i+1])
	}
	for i, n := range nodes {
		if err := errors.Join(n.Start(ctx)); err != nil {
			nodes = nodes[:i]
			return nil, stop, err
		}
		if err := n.Ready(ctx); err != nil {
			nodes = nodes[:i+1]
			return nil, stop, err
		}
	}
	return edges, stop, nil
}

// client is a connection to an admin listener.
type client struct {
	conn net.Conn
	from *bufio.Reader
	out  bytes.Buffer
	body string // of the last answer
}

func dial(ctx context.Context, addr string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, from: bufio.NewReader(conn)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// ask sends a request in one write and reads the answer whole.
func (c *client) ask(method, path string, body []byte) (status int, err error) {
	c.out.Reset()
	fmt.Fprintf(&c.out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n", method, path, len(body))
	c.out.Write(body)
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.from, nil)
	if err != nil {
		return 0, err
	}
	got, err := io.ReadAll(resp.Body)
	c.body = string(got)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

func (c *client) want(status int, method, path string, body []byte) error {
	got, err := c.ask(method, path, body)
	if err == nil && got != status {
		err = fmt.Errorf("%s %s: status %d, %s", method, path, got, c.body)
	}
	return err
}

// result is how long requests took, and how long all of them together.
type result struct {
	took []time.Duration
	span time.Duration
}

// load runs work over n connections, spread over nodes, for its time, or so often if times is
// not 0. The durations are sorted by nothing.
func load(ctx context.Context, nodes []string, n, times int, work func(c *client, i int) error) (result, error) {
	took, errs := make([][]time.Duration, n), make([]error, n)
	var all sync.WaitGroup
	began := time.Now()
	for w := range n {
		all.Go(func() {
			c, err := dial(ctx, nodes[w%len(nodes)])
			if err != nil {
				errs[w] = err
				return
			}
			defer c.close()
			for i := w * 7919; times > 0 && len(took[w]) < times || times == 0 && time.Since(began) < *each; i++ {
				before := time.Now()
				if errs[w] = work(c, i); errs[w] != nil {
					return
				}
				took[w] = append(took[w], time.Since(before))
			}
		})
	}
	all.Wait()
	got := result{span: time.Since(began)}
	for _, some := range took {
		got.took = append(got.took, some...)
	}
	return got, errors.Join(errs...)
}
