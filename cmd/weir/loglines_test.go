package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"weir/api"
	"weir/rfc9111"
)

// onScreen runs a command as on a terminal, until ctx ends.
func onScreen(ctx context.Context, out *transcript, env map[string]string, args ...string) (status int, stderr string) {
	errs := newTranscript()
	con := console{
		out: out, err: errs, env: func(name string) string { return env[name] },
		screen: func() screen { return screen{width: 120, height: 50} },
	}
	status = run(ctx, args, con)
	return status, errs.String()
}

func TestLogsOfANode(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	node.fill("/a")
	node.get("/a")
	node.do("POST", "/a")
	var lines []api.LogLine
	eventually(t, "all are in the log", func() bool {
		status, stdout, stderr := command(t, "logs", "--admin", node.admin)
		if status != exitDone {
			t.Fatal(stderr)
		}
		lines = nil
		for text := range strings.Lines(stdout) {
			var l api.LogLine
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, l)
		}
		return len(lines) == 3
	})
	for i, want := range []rfc9111.Use{rfc9111.Miss, rfc9111.Hit, rfc9111.Bypass} {
		if lines[i].Use != want || lines[i].Target != "/a" || lines[i].Host != testHost {
			t.Errorf("%+v, want a %s", lines[i], want)
		}
	}
	if _, stdout, _ := command(t, "logs", "--admin", node.admin, "--status", "hit", "--status", "stale"); strings.Count(stdout, "\n") != 1 {
		t.Errorf("the hits are\n%s", stdout)
	}
	if _, stdout, _ := command(t, "logs", "--admin", node.admin, "--route", "nothing"); stdout != "" {
		t.Errorf("of no route:\n%s", stdout)
	}
	if status, _, stderr := command(t, "logs", "--admin", node.admin, "--status", "200"); status != exitUsage || !strings.Contains(stderr, `"bypass"`) {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

func TestFollowingANode(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	plain, coloured, machine := newTranscript(), newTranscript(), newTranscript()
	exits := make(chan int, 3)
	for out, how := range map[*transcript][]string{plain: {"NO_COLOR"}, coloured: nil, machine: {"", "--json"}} {
		env, args := map[string]string{}, []string{"logs", "--follow", "--admin", node.admin}
		if len(how) > 0 {
			env[how[0]] = "1"
			args = append(args, how[1:]...)
		}
		go func() {
			status, _ := onScreen(ctx, out, env, args...)
			exits <- status
		}()
	}
	for _, out := range []*transcript{plain, coloured, machine} { // each may begin late
		eventually(t, "a line", func() bool {
			node.get("/a")
			return strings.Contains(out.String(), "/a")
		})
	}
	node.do("POST", "/a")
	plain.await(t, "bypass  200  POST ", 1)
	coloured.await(t, "\x1b[35mbypass\x1b[0m  200  POST ", 1)
	machine.await(t, `"use":"bypass"`, 1)
	if text := plain.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, testHost+"/a  defaults ") {
		t.Errorf("%q", text)
	}
	cancel()
	for range 3 {
		if status := <-exits; status != exitDone {
			t.Errorf("exit status %d", status)
		}
	}
}

// Whoever follows a node is told that it has ended.
func TestFollowingANodeThatEnds(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	out := newTranscript()
	exited := make(chan struct{})
	status, stderr := 0, ""
	go func() {
		defer close(exited)
		status, stderr = onScreen(t.Context(), out, nil, "logs", "-f", "--admin", node.admin)
	}()
	eventually(t, "a line", func() bool {
		node.get("/a")
		return strings.Contains(out.String(), "/a")
	})
	node.stop()
	<-exited
	if status != exitFailed || !strings.Contains(stderr, node.admin) {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

func TestLinesForPeople(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.Local)
	hit := api.LogLine{
		Time: at, Status: 200, Use: rfc9111.Hit, Why: rfc9111.StatusOK, Route: "product",
		Method: "GET", Host: "a.test", Target: "/products/42", Bytes: 2048, Ms: .25,
	}
	failed := hit
	failed.Use, failed.Status, failed.Why, failed.Error = rfc9111.Miss, 502, rfc9111.StatusCode, "no\x1b[2Jroute"
	left := hit
	left.Status, left.Left, left.Aborted = 499, true, true
	for _, c := range []struct {
		line  api.LogLine
		paint painter
		want  string
	}{
		{hit, false, "12:00:00.005  hit     200  GET    2.0 KiB      0.2 ms  a.test/products/42  product ok"},
		{hit, true, "\x1b[2m12:00:00.005\x1b[0m  \x1b[32mhit   \x1b[0m  200  GET    2.0 KiB      0.2 ms  a.test/products/42  \x1b[2mproduct ok\x1b[0m"},
		{failed, false, "12:00:00.005  miss    502  GET    2.0 KiB      0.2 ms  a.test/products/42  product code  no?[2Jroute"},
		{left, false, "12:00:00.005  hit     499  GET    2.0 KiB      0.2 ms  a.test/products/42  product ok  the client left"},
		{api.LogLine{Dropped: 12}, false, "12 requests are missing here: they came faster than they were read"},
	} {
		if got := c.paint.line(&c.line); got != c.want {
			t.Errorf("%q, want\n%q", got, c.want)
		}
	}
}
