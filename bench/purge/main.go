// Purge measures what it costs to purge a tag on few and on very many stored objects:
// the time until the purge is durable and in force, and what hits of other objects take
// before, meanwhile and afterwards. It uses the shield, the memory tier and the disk
// tier as a node does, in one process, without HTTP.
//
//	go run ./bench/purge                  10 and 1,000,000 objects, about a minute
//	go run ./bench/purge -objects 100000
//
// The folders are made under TMPDIR (choose the disk to be measured) and removed afterwards.
//
// How to read it: each purge ends with a sync of the disk, so "purge" is mostly that; the
// first is the one that names all the objects, the others name what is purged already. Hits are
// of 20,000 other objects at random, one after the other: p50 and p99 are to be compared
// between the rows, "longest" also has what else the machine did. It ends with status 1 when a
// purged object is still used, and when the median purge takes longer than -limit beyond a sync of
// a small file, which is measured by turns with the purges.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"weir/shield"
)

var (
	objects = flag.Int64("objects", 1_000_000, "objects with the tag, in the larger of the two folders")
	purges  = flag.Int("purges", 200, "purges of the tag")
	span    = flag.Duration("span", 2*time.Second, "of each measurement of hits")
	limit   = flag.Duration("limit", 5*time.Millisecond, "what the median purge may take beyond a sync")
)

func main() {
	flag.Parse()
	fmt.Printf("| objects with the tag | a sync, median | purge: first | median | p99 | hits | p50 before | meanwhile | afterwards | p99 before | meanwhile | afterwards | longest before | meanwhile | afterwards |\n")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	var errs []error
	for _, n := range []int64{10, *objects} {
		errs = append(errs, measure(context.Background(), n))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "purge:", err)
		os.Exit(1)
	}
}

// measure fills a folder and prints its rows.
func measure(ctx context.Context, tagged int64) (err error) {
	dir, err := os.MkdirTemp("", "weir-purge-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	n, err := open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.fill(tagged); err != nil {
		return err
	}
	if used, err := n.used(ctx, tagged); err != nil || used == 0 {
		return errors.Join(err, errors.New("what was stored is not used"))
	}

	before, err := n.hits(ctx, time.After(*span))
	if err != nil {
		return err
	}
	done := make(chan time.Time)
	var took, syncs []time.Duration
	var failed error
	go func() {
		defer close(done)
		for range *purges {
			var alone time.Duration
			if alone, failed = syncAlone(dir); failed != nil {
				return
			}
			syncs = append(syncs, alone)
			began := time.Now()
			if _, failed = n.purges.Add(shield.TagRule(theTag)); failed != nil {
				return
			}
			took = append(took, time.Since(began))
			time.Sleep(*span / time.Duration(*purges))
		}
	}()
	during, err := n.hits(ctx, done)
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if used, err := n.used(ctx, tagged); err != nil || used > 0 {
		return errors.Join(err, fmt.Errorf("%d purged objects are still used", used))
	}
	after, err := n.hits(ctx, time.After(*span))
	if err != nil {
		return err
	}
	return report(tagged, took, syncs, [3]latencies{before, during, after})
}

func report(tagged int64, took, syncs []time.Duration, phases [3]latencies) error {
	first := took[0]
	slices.Sort(took)
	slices.Sort(syncs)
	for i, tier := range tiers {
		fmt.Printf("| %d | %v | %v | %v | %v | of the %s tier |", tagged, at(syncs, 50).Round(time.Microsecond), first.Round(time.Microsecond),
			at(took, 50).Round(time.Microsecond), at(took, 99).Round(time.Microsecond), tier)
		for _, percent := range []int{50, 99, 100} {
			for _, l := range phases {
				fmt.Printf(" %v |", at(l[i], percent).Round(100*time.Nanosecond))
			}
		}
		fmt.Println()
	}
	if median, alone := at(took, 50), at(syncs, 50); median > *limit+alone {
		return fmt.Errorf("%d objects: the median purge took %v, a sync %v", tagged, median, alone)
	}
	return nil
}

// syncAlone is how long the disk takes for a few bytes.
func syncAlone(dir string) (took time.Duration, err error) {
	file, err := os.OpenFile(filepath.Join(filepath.Dir(dir), filepath.Base(dir)+".sync"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if _, err := file.Write(make([]byte, 4096)); err != nil {
		return 0, err
	}
	began := time.Now()
	err = file.Sync()
	return time.Since(began), err
}

// at is a percentile of what is sorted.
func at(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}
