package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// server is a process that answers HTTP on loopback, and whatever processes it started.
type server struct {
	address string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// startServer starts cmd, which leaves its output in dir, and waits until it answers at
// address. It ends with ctx at the latest.
func startServer(ctx context.Context, cmd *exec.Cmd, dir, address string) (*server, error) {
	log := filepath.Join(dir, "output")
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close() // the child has its own
	cmd.Stdout, cmd.Stderr = output, output
	// A group of its own, so that the end of one is the end of all; and no child may
	// outlive a program that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{address: address, cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its output
		close(s.exited)
	}()
	if err := s.ready(ctx); err != nil {
		s.stop()
		said, _ := os.ReadFile(log)
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, said)
	}
	return s, nil
}

// ready waits until a server answers a request for nothing with 404. That is the suite's
// origin's answer, so a cache that gives it has found its origin.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/nothing", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusNotFound {
				return nil
			}
		}
		select {
		case <-s.exited:
			return errors.New("ended at once")
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop asks the process to end, and kills what is left of its group.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // already gone is as good
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // already gone is as good
	<-s.exited
}

// port is the port of an address.
func port(address string) string {
	_, p, _ := net.SplitHostPort(address) // addresses are our own
	return p
}
