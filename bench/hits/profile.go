package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// profiler takes a CPU profile of weir in each of its runs, for a build that is optimised with them: go help build, -pgo.
type profiler struct {
	dir   string
	files []string
}

// during profiles the weir whose admin listener is at admin while run runs.
func (p *profiler) during(ctx context.Context, admin string, each time.Duration, run func() error) error {
	file := filepath.Join(p.dir, fmt.Sprintf("profile%d", len(p.files)))
	p.files = append(p.files, file)
	done := make(chan error, 1)
	go func() { done <- fetch(ctx, file, admin, each) }()
	err := run()
	if fetched := <-done; err == nil {
		err = fetched
	}
	return err
}

func fetch(ctx context.Context, file, admin string, each time.Duration) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", admin, max(1, each.Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	profile, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return os.WriteFile(file, profile, 0o600)
}

// merge writes all profiles into one file.
func (p *profiler) merge(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof", "-proto", "-output", file}, p.files...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go tool pprof: %w\n%s", err, out)
	}
	return nil
}
