// Command conformance asks an outside judge what a cache makes of HTTP: it runs the suite of
// http-tests/cache-tests against weir, with the policy deploy/conformance.json, and
// compares every test's outcome with bench/conformance/expected.txt. Any change that a second
// run shows, too, fails.
//
//	go run ./bench/conformance           compares
//	go run ./bench/conformance -update   writes the list anew
//	go run ./bench/conformance -peers    prints a table: weir and every peer on the PATH
//	go run ./bench/conformance -why -peers Squid   one row, and each test not passed
//
// The suite comes from npm, at one version, into the user's cache folder; node (18 or
// later) and npm must be on the PATH. Run it at the top of the module.
// bench/conformance.md says what the outcomes mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

const (
	home     = "bench/conformance"
	expected = home + "/expected.txt"
)

func main() {
	update := flag.Bool("update", false, "write the list of expected outcomes anew")
	peers := flag.Bool("peers", false, "print a table instead: weir and every peer on the PATH, or those named by arguments")
	why := flag.Bool("why", false, "say of every test not passed what the suite's client saw")
	limit := flag.Duration("limit", 10*time.Minute, "give up after this long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, *update, *peers, *why); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, update, peers, why bool) error {
	if _, err := os.Stat(home); err != nil {
		return errors.New("run it at the top of the module")
	}
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // for caches that work as another user
		return err
	}
	suite, err := fetchSuite(ctx)
	if err != nil {
		return err
	}
	judge := &judge{suite: suite, dir: dir, why: why}
	if peers {
		return judge.table(ctx, flag.Args())
	}
	outcomes, err := judge.grade(ctx, weir)
	if err != nil {
		return err
	}
	if update {
		fmt.Println("weir:", count(outcomes))
		return writeExpected(expected, outcomes)
	}
	if outcomes, err = judge.confirm(ctx, outcomes); err != nil {
		return err
	}
	fmt.Println("weir:", count(outcomes))
	return compare(expected, outcomes)
}

// judge runs the suite against one cache after the other.
type judge struct {
	suite string // its folder
	dir   string // for what lasts no longer than the program
	why   bool   // print the tests not passed
}

// grade starts the suite's origin and a cache in front of it, runs the suite and ends both.
// Each cache gets an origin and a folder of its own, so that none sees what another left.
func (j *judge) grade(ctx context.Context, c cache) ([]outcome, error) {
	dir, err := os.MkdirTemp(j.dir, "")
	if err != nil {
		return nil, err
	}
	// Some caches work as another user and write here.
	if err := os.Chmod(dir, 0o777); err != nil {
		return nil, err
	}
	origin, err := startOrigin(ctx, j.suite, dir+"/origin")
	if err != nil {
		return nil, err
	}
	defer origin.stop()
	front, err := c.start(ctx, dir, origin.address)
	if err != nil {
		return nil, err
	}
	defer front.stop()
	outcomes, err := runSuite(ctx, j.suite, "http://"+front.address)
	if err != nil || !j.why {
		return outcomes, err
	}
	for _, o := range outcomes {
		if o.Outcome != "pass" {
			fmt.Fprintf(os.Stderr, "%s: %s %s %s: %s\n", c.name, o.Kind, o.ID, o.Outcome, o.Why)
		}
	}
	return outcomes, nil
}

// confirm runs the suite again when an outcome is not the expected one. A change counts if both runs show it.
func (j *judge) confirm(ctx context.Context, outcomes []outcome) ([]outcome, error) {
	if again, err := surprising(expected, outcomes); !again || err != nil {
		return outcomes, err
	}
	second, err := j.grade(ctx, weir)
	if err != nil {
		return nil, err
	}
	return settled(expected, outcomes, second)
}

// table prints what weir and every peer that is installed make of the suite, or only those named.
func (j *judge) table(ctx context.Context, names []string) error {
	fmt.Println("| cache | required | optimal | checks answered yes |")
	fmt.Println("|---|---|---|---|")
	for _, c := range append([]cache{weir}, peers...) {
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		version, err := c.version(ctx)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", c.name, err)
			continue
		}
		outcomes, err := j.grade(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		n := count(outcomes)
		fmt.Printf("| %s | %s | %s | %s |\n", strings.TrimSpace(c.name+" "+version), n["required"], n["optimal"], n["check"])
	}
	return nil
}
