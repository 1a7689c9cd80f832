package weir

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/internal/tiers"
	"weir/kv"
	"weir/l1"
	"weir/l2"
	"weir/shield"
)

// backend is what a cache stands on.
type backend struct {
	store  store
	memory int64 // bytes that are left for what values mean
	purges kv.Purges
	purge  func(ctx context.Context, tags []string) error
	blind  func(now time.Time) (since time.Time) // what was read earlier may have changed; nil: nothing is ever missed
	close  func() error
}

// store keeps values: as much of a [kv.Store] as is needed here.
type store interface {
	Get(ctx context.Context, key string) (*kv.Value, error)
	Set(ctx context.Context, key string, d kv.Draft, c kv.Condition) (version uint64, err error)
	Delete(ctx context.Context, key string, c kv.Condition) error
	Incr(ctx context.Context, key string, i kv.Increment) (kv.Count, error)
}

// openBackend opens what o asks for.
func openBackend(o Options) (backend, error) {
	switch {
	case o.Folder != "" && o.Node != "":
		return backend{}, errors.New("weir: Folder and Node exclude each other: a node has a folder of its own")
	case o.Token != "" && o.Node == "":
		return backend{}, errors.New("weir: a Token without a Node opens nothing: say which Node")
	case o.Node != "":
		return openNode(o)
	case o.Folder != "":
		return openFolder(o)
	}
	return openMemory(o)
}

// openMemory is for what lasts as long as the process. Half of the memory is for records,
// half for what they mean.
func openMemory(o Options) (backend, error) {
	purges, err := shield.NewPurges(nil)
	if err != nil {
		return backend{}, err
	}
	o.MemoryBytes /= 2
	return keep(o, &memoryDisk{records: l1.NewValues(o.MemoryBytes)}, purges)
}

// openFolder is for what outlasts the process.
func openFolder(o Options) (_ backend, err error) {
	values, err := l2.OpenValues(o.Folder, l2.ValuesOptions{MaxBytes: o.DiskBytes, Report: o.Report})
	if err != nil {
		return backend{}, fmt.Errorf("weir: the folder %s: %w", o.Folder, err)
	}
	close := values.Close
	defer func() {
		if err != nil {
			err = errors.Join(err, close())
		}
	}()
	rules, err := l2.OpenLog(o.Folder, o.Report)
	if err != nil {
		return backend{}, fmt.Errorf("weir: the purge log in %s: %w", o.Folder, err)
	}
	close = func() error { return errors.Join(values.Close(), rules.Close()) }
	purges, err := tiers.OpenPurges(rules, o.Report)
	if err != nil {
		return backend{}, fmt.Errorf("weir: the purge log in %s: %w", o.Folder, err)
	}
	b, err := keep(o, tiers.Values{Values: values}, purges)
	b.close = close
	return b, err
}

// keep is for values that this process has itself.
func keep(o Options, disk kv.Disk, purges *shield.Purges) (backend, error) {
	keeper, err := kv.NewKeeper(disk, purges, kv.KeeperOptions{})
	return backend{
		store: keeper, purges: purges, memory: o.MemoryBytes, close: func() error { return nil },
		purge: func(_ context.Context, tags []string) error {
			rules := make([]shield.Rule, len(tags))
			for i, tag := range tags {
				rules[i] = shield.TagRule(tag)
			}
			_, err := purges.Add(rules...)
			return err
		},
	}, err
}
