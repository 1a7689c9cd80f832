package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"weir/policy"
)

const (
	policyOne = `{"origins": {"a": {"url": "http://127.0.0.1:1"}}, "defaults": {"origin": "a"}}`
	policyTwo = `{"origins": {"b": {"url": "http://127.0.0.1:2"}}, "defaults": {"origin": "b"}}`
	policyBad = `{"origins": {"c": {"url": "http://127.0.0.1:3"}}, "colour": 1, "shape": 2}`
)

// watched is a policy file under watch in fake time.
type watched struct {
	t      *testing.T
	path   string
	hangup chan os.Signal
	logs   *observer.ObservedLogs

	mu     sync.Mutex
	tables []*policy.Table // guarded by mu: those that were put to use
}

func watch(t *testing.T, content string) *watched {
	t.Helper()
	w := &watched{t: t, path: filepath.Join(t.TempDir(), "policy.json"), hangup: make(chan os.Signal)}
	w.write(content)
	core, logs := observer.New(zap.InfoLevel)
	w.logs = logs
	pw, _, _, err := newPolicyWatch(w.path, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	pw.apply = func(table *policy.Table, _ []byte) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tables = append(w.tables, table)
	}
	go pw.run(t.Context(), w.hangup)
	return w
}

// write replaces the file as editors do, by rename.
func (w *watched) write(content string) {
	w.t.Helper()
	if err := os.WriteFile(w.path+".new", []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.path+".new", w.path); err != nil {
		w.t.Fatal(err)
	}
}

// pass lets time pass.
func (w *watched) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want checks which origins the tables put to use so far have.
func (w *watched) want(origins ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []string
	for _, table := range w.tables {
		for name := range table.Origins {
			got = append(got, name)
		}
	}
	if strings.Join(got, " ") != strings.Join(origins, " ") {
		w.t.Fatalf("tables with origins %v, want %v", got, origins)
	}
}

func (w *watched) messages() string {
	var lines []string
	for _, e := range w.logs.TakeAll() {
		lines = append(lines, e.Message)
	}
	return strings.Join(lines, "\n")
}

func TestPolicyChangeIsTakenOnceItSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, policyOne)
		w.pass(10 * reloadInterval)
		w.want()
		w.write(policyTwo)
		w.pass(reloadInterval) // seen, but it may still be written to
		w.want()
		w.pass(reloadInterval)
		w.want("b")
		w.pass(10 * reloadInterval)
		w.want("b")
		if got := w.messages(); got != "policy reloaded" {
			t.Errorf("logged %q", got)
		}
	})
}

func TestPolicyBeingWrittenIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, policyOne)
		for n := range len(policyTwo) / 8 {
			w.write(policyTwo[:n*8])
			w.pass(reloadInterval)
		}
		w.write(policyTwo)
		w.pass(2 * reloadInterval)
		w.want("b")
		if got := w.messages(); got != "policy reloaded" {
			t.Errorf("logged %q", got)
		}
	})
}

func TestBadPolicyChangesNothingAndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, policyOne)
		w.write(policyBad)
		w.pass(10 * reloadInterval)
		w.want()
		got := w.messages()
		if strings.Count(got, "policy not reloaded") != 1 || !strings.Contains(got, "colour") || !strings.Contains(got, "shape") {
			t.Errorf("logged %q", got)
		}
		w.write(policyOne)
		w.pass(2 * reloadInterval)
		w.want()
		if got := w.messages(); got != "policy file is the policy in use" {
			t.Errorf("logged %q", got)
		}
		w.write(policyTwo)
		w.pass(2 * reloadInterval)
		w.want("b")
	})
}

func TestMissingPolicyIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, policyOne)
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * reloadInterval)
		if got := w.messages(); strings.Count(got, "cannot be read") != 1 || strings.Contains(got, "\n") {
			t.Errorf("logged %q", got)
		}
		w.write(policyTwo)
		w.pass(2 * reloadInterval)
		w.want("b")
	})
}

func TestHangupReloadsAtOnceAndAlwaysAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, policyOne)
		hangup := func() string {
			w.hangup <- os.Interrupt // the kind does not matter here
			synctest.Wait()
			return w.messages()
		}
		if got := hangup(); got != "policy file is the policy in use" {
			t.Errorf("logged %q", got)
		}
		w.write(policyTwo)
		if got := hangup(); got != "policy reloaded" {
			t.Errorf("logged %q", got)
		}
		w.want("b")
		w.write(policyBad)
		for range 2 { // as often as it is asked
			if got := hangup(); !strings.Contains(got, "policy not reloaded") || !strings.Contains(got, "colour") {
				t.Errorf("logged %q", got)
			}
		}
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		if got := hangup(); !strings.Contains(got, "policy not reloaded") {
			t.Errorf("logged %q", got)
		}
		w.want("b")
	})
}
