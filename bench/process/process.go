// Package process runs weir as a child process for the bench programs: it builds
// the binary, starts it on loopback, kills or stops it, and reads its memory
// from /proc. It ends only processes that it started.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Build compiles cmd/weir of this module into dir and returns the binary's path.
func Build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "weir")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "weir/cmd/weir").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build weir: %w\n%s", err, out)
	}
	return binary, nil
}

// FreeAddress returns a loopback address that nobody listens on now.
func FreeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// Node is a weir process and where it listens.
type Node struct {
	Binary string
	Origin string // URL
	Listen string // "" for a shield, which serves no clients
	Admin  string
	Data   string   // "" for an edge, which has no disk tier
	Args   []string // more flags of weir serve

	Started time.Time // when the process was executed
	cmd     *exec.Cmd
	output  bytes.Buffer
	exited  chan struct{}
	waitErr error // after exited is closed
}

// Start executes weir serve, which ends with ctx at the latest. It returns at once;
// see Ready.
func (n *Node) Start(ctx context.Context) error {
	args := []string{"serve", "--origin", n.Origin, "--admin", n.Admin, "--log-level", "warn"}
	if n.Listen != "" {
		args = append(args, "--listen", n.Listen)
	}
	if n.Data != "" {
		args = append(args, "--data", n.Data)
	}
	args = append(args, n.Args...)
	n.cmd = exec.CommandContext(ctx, n.Binary, args...)
	n.output.Reset()
	n.cmd.Stdout, n.cmd.Stderr = &n.output, &n.output
	// The child must not outlive a bench that is killed.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.Started = time.Now()
	if err := n.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	n.exited = exited
	go func() {
		n.waitErr = n.cmd.Wait()
		close(exited)
	}()
	return nil
}

// Ready waits until the node says that it is ready.
func (n *Node) Ready(ctx context.Context) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-n.exited:
			return fmt.Errorf("weir ended: %w\n%s", n.waitErr, n.output.String())
		case <-ctx.Done():
			return fmt.Errorf("weir is not ready: %w", context.Cause(ctx))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Kill ends the process with SIGKILL, as a crash would.
func (n *Node) Kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill() // already gone is as good
		<-n.exited
	}
}

// Stop ends the process with SIGTERM and waits for it.
func (n *Node) Stop(ctx context.Context) error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.exited:
		if n.waitErr != nil {
			return fmt.Errorf("weir ended: %w\n%s", n.waitErr, n.output.String())
		}
		return nil
	case <-ctx.Done():
		n.Kill()
		return errors.New("weir did not stop when asked")
	}
}

// Memory is what a process holds, in bytes.
type Memory struct {
	Resident  int64 // all of it
	Anonymous int64 // without mapped files
}

// Memory reads the process's memory now.
func (n *Node) Memory() (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		switch {
		case err != nil:
		case fields[0] == "VmRSS:":
			m.Resident = kib << 10
		case fields[0] == "RssAnon:":
			m.Anonymous = kib << 10
		}
	}
	return m, nil
}
