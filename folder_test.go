package weir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir"
)

// reopen opens a cache on a folder. It is to be closed before the next one.
func reopen(t *testing.T, folder string) (c *weir.Cache, done func()) {
	t.Helper()
	c, err := weir.Open(weir.Options{Folder: folder, Report: func(err error) { t.Errorf("reported: %v", err) }})
	must(t, err)
	return c, func() { must(t, c.Close(context.Background())) }
}

func TestFolderOutlastsTheProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	ctx := t.Context()
	s := new(source)
	c, done := reopen(t, folder)
	swr(t, c, s, weir.SWROptions{Tags: []string{"users"}})
	must(t, weir.Set(ctx, c, "kept", "v", weir.SetOptions{}))
	must(t, weir.Set(ctx, c, "purged", "v", weir.SetOptions{Tags: []string{"t"}}))
	must(t, weir.Set(ctx, c, "deleted", "v", weir.SetOptions{}))
	must(t, c.Purge(ctx, "t"))
	must(t, c.Delete(ctx, "deleted"))
	if n, err := c.Incr(ctx, "n", 3, time.Hour); n.Number != 3 || err != nil {
		t.Error(n, err)
	}
	if second, err := weir.Open(weir.Options{Folder: folder}); err == nil || !strings.Contains(err.Error(), folder) {
		t.Errorf("a second process: %v, %v", second, err)
	}
	done()

	c, done = reopen(t, folder)
	defer done()
	if u := swr(t, c, s, weir.SWROptions{}); u.Age != 1 || s.calls.Load() != 1 {
		t.Errorf("%+v of %d fetches", u, s.calls.Load())
	}
	for key, want := range map[string]string{"kept": "v", "purged": "", "deleted": ""} {
		if got := getString(t, c, key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if n, err := c.Incr(ctx, "n", 1, 0); n.Number != 4 || n.Until.IsZero() || err != nil {
		t.Errorf("the counter: %+v, %v", n, err)
	}
	must(t, c.Purge(ctx, "users"))
	if u := swr(t, c, s, weir.SWROptions{}); u.Age != 2 {
		t.Errorf("a purge after the restart: %+v", u)
	}
}

// A purge log that cannot be read may have forbidden anything.
func TestDamagedFolder(t *testing.T) {
	folder := t.TempDir()
	c, done := reopen(t, folder)
	must(t, weir.Set(t.Context(), c, "k", "v", weir.SetOptions{Tags: []string{"t"}}))
	done()
	must(t, os.WriteFile(filepath.Join(folder, "rules.db"), []byte("garbage"), 0o600))
	var reported atomic.Int64
	c = open(t, weir.Options{Folder: folder, Report: func(error) { reported.Add(1) }})
	if _, err := weir.Get[string](t.Context(), c, "k"); !errors.Is(err, weir.ErrMissing) || reported.Load() == 0 {
		t.Errorf("with a tag, after the log was lost: %v, reported %d times", err, reported.Load())
	}
}
