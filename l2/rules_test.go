package l2_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	gosync "sync"
	"testing"

	"weir/l2"
)

func replay(t *testing.T, l *l2.Log) (rules []string) {
	t.Helper()
	err := l.Replay(func(epoch uint64, rule []byte) error {
		rules = append(rules, fmt.Sprint(epoch, " ", string(rule)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestRuleLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, l2.Options{})
	for i, rule := range []string{"first", "", "third"} {
		if err := s.Log().Append(uint64(9-i), []byte(rule)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, l2.Options{})
	want := "[9 first 8  7 third]"
	if got := fmt.Sprint(replay(t, s.Log())); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	stop := errors.New("stop")
	if err := s.Log().Replay(func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of the callback: %v", err)
	}
}

func TestRulesRewritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, l2.Options{})
	for i := range 100 {
		if err := s.Log().Append(uint64(i), []byte("old")); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Log().Rewrite(func(yield func(uint64, []byte) bool) {
		_ = yield(99, []byte("kept")) && yield(7, []byte("too"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Log().Append(100, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(replay(t, open(t, dir, l2.Options{}).Log())), "[99 kept 7 too 100 new]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A log that is written anew takes no more room than its rules, however many there were; and what a crash left
// of an earlier attempt is no obstacle.
func TestRewritingGivesRoomBack(t *testing.T) {
	dir := t.TempDir()
	l := must(l2.OpenLog(dir, nil))
	size := func() int64 { return must(os.Stat(filepath.Join(dir, "rules.db"))).Size() }
	empty := size()
	many := bytes.Repeat([]byte("x"), 30_000)
	for i := range 100 {
		if err := l.Append(uint64(i), many); err != nil {
			t.Fatal(err)
		}
	}
	grown := size()
	write(t, dir, "rules.db.tmp", []byte("half a file"))
	err := l.Rewrite(func(yield func(uint64, []byte) bool) { yield(99, []byte("kept")) })
	if err != nil {
		t.Fatal(err)
	}
	if now := size(); grown < 100*30_000 || now > empty {
		t.Errorf("%d bytes empty, %d with the rules, %d without", empty, grown, now)
	}
	if err := l.Append(100, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "rules.db.tmp", []byte("half a file"))
	l = must(l2.OpenLog(dir, nil))
	defer l.Close()
	if got, want := fmt.Sprint(replay(t, l)), "[99 kept 100 new]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "rules.db.tmp")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

// A sequence that panics leaves the rules as they were.
func TestRewritingThatFails(t *testing.T) {
	dir := t.TempDir()
	l := must(l2.OpenLog(dir, nil))
	defer l.Close()
	if err := l.Append(1, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := l.Rewrite(func(func(uint64, []byte) bool) { panic("no more") }); err == nil {
		t.Error("no error")
	}
	if err := l.Append(2, []byte("b")); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(replay(t, l)); got != "[1 a 2 b]" {
		t.Error(got)
	}
}

func TestRulesAppendedAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	l, err := l2.OpenLog(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg gosync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if err := l.Append(uint64(i), []byte("rule")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(replay(t, l)); n != 40 {
		t.Errorf("%d rules", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whoever writes is done with what waited when it began: one of those who came meanwhile writes for these. So
// nobody has to write for others for as long as there are any.
func TestRulesAreHandedOver(t *testing.T) {
	dir := t.TempDir()
	l := must(l2.OpenLog(dir, nil))
	defer l.Close()
	until := func(busy bool, waiting int) {
		for {
			if b, w := l.Writing(); b == busy && w == waiting {
				return
			}
			runtime.Gosched()
		}
	}
	const others = 3
	handedOver := 0
	for trial := 0; handedOver == 0 && trial < 1000; trial++ { // the others may be done before the first looks
		var wg gosync.WaitGroup
		held, release := make(chan struct{}), make(chan struct{})
		wg.Go(func() {
			_ = l.Rewrite(func(func(uint64, []byte) bool) { close(held); <-release })
		})
		<-held
		wg.Go(func() {
			if err := l.Append(0, []byte("first")); err != nil {
				t.Error(err)
			}
			if busy, _ := l.Writing(); busy {
				handedOver++
			}
		})
		until(true, 0)
		for i := range others {
			wg.Go(func() {
				if err := l.Append(uint64(1+i), []byte("other")); err != nil {
					t.Error(err)
				}
			})
		}
		until(true, others)
		close(release)
		wg.Wait()
		if busy, waiting := l.Writing(); busy || waiting != 0 {
			t.Fatalf("nobody is left, busy %t, %d waiting", busy, waiting)
		}
		if n := len(replay(t, l)); n != 1+others {
			t.Fatalf("%d rules", n)
		}
	}
	if handedOver == 0 {
		t.Error("the first never returns before those who came later are done")
	}
}

func TestDamagedRule(t *testing.T) {
	dir := t.TempDir()
	l := must(l2.OpenLog(dir, nil))
	if err := l.Append(1, []byte("a rule that is found in the file")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "rules.db")
	b := must(os.ReadFile(name))
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte("found in"))
		if i < 0 {
			break
		}
		at += i + 1
		b[at] ^= 1
	}
	write(t, dir, "rules.db", b)
	l = must(l2.OpenLog(dir, nil))
	defer l.Close()
	if err := l.Replay(func(uint64, []byte) error { return nil }); !errors.Is(err, l2.ErrDamaged) {
		t.Errorf("replay: %v", err)
	}
}
