package main

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// chunk is bytes on their way.
type chunk struct {
	at    time.Time
	bytes []byte
}

// proxy is a long way to a server: it passes on what it reads after a delay.
type proxy struct {
	listener net.Listener
	to       string
	delay    time.Duration // one way

	running sync.WaitGroup
	mu      sync.Mutex // guards conns
	conns   map[net.Conn]struct{}
}

func openProxy(ctx context.Context, to string, delay time.Duration) (*proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, to: to, delay: delay, conns: make(map[net.Conn]struct{})}
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns[near], p.conns[far] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.pass(near, far)
		p.pass(far, near)
	}
}

// pass sends what comes from one connection to the other, in order and late.
func (p *proxy) pass(from, to net.Conn) {
	way := make(chan chunk, 1024)
	p.running.Go(func() {
		defer close(way)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				way <- chunk{time.Now().Add(p.delay + rand.N(*jitter+1)), buf[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	p.running.Go(func() {
		for c := range way {
			time.Sleep(time.Until(c.at))
			_, _ = to.Write(c.bytes) // a failure ends the other direction, and so this one
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range []net.Conn{from, to} {
			_ = c.Close()
			delete(p.conns, c)
		}
	})
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut()
	p.running.Wait()
}
