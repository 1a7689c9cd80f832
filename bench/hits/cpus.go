package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// places are the processors of the servers, and those of all others. A load that shares its processors with the
// server has its share in each latency: it runs while the server waits for it to stop.
type places struct {
	servers, others unix.CPUSet
	apart           bool
}

// share gives the servers one half of this program's processors, and itself, the origin and the load the other one.
// With one processor, or when together, nothing changes.
func share(together bool) (p places, err error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return p, err
	}
	if together || all.Count() < 2 {
		p.servers, p.others = all, all
		return p, nil
	}
	p.apart = true
	for cpu, half := 0, all.Count()/2; p.servers.Count()+p.others.Count() < all.Count(); cpu++ {
		switch {
		case !all.IsSet(cpu):
		case p.servers.Count() < half:
			p.servers.Set(cpu)
		default:
			p.others.Set(cpu)
		}
	}
	runtime.GOMAXPROCS(p.others.Count())
	return p, p.moveHere()
}

// moveHere puts the threads that there are on the others' processors. Those that come, and processes, are where
// the thread is that starts them.
func (p places) moveHere() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &p.others); err != nil {
			return fmt.Errorf("sched_setaffinity: %w", err)
		}
	}
	return nil
}

// serving calls start on the servers' processors, so that what it starts finds those alone.
func (p places) serving(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, &p.servers); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &p.others) }() // as it was before
	return start()
}

func (p places) String() string {
	if !p.apart {
		return fmt.Sprintf("servers and load share %d processors", p.servers.Count())
	}
	return fmt.Sprintf("processors of the servers: %d, of load and origin: %d", p.servers.Count(), p.others.Count())
}

// stolen is the time that other guests of the host took from all processors, in ticks, and all time.
func stolen() (taken, all int64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		n, _ := strconv.ParseInt(field, 10, 64)
		switch {
		case i == 8: // user nice system idle iowait irq softirq steal
			taken = n
			all += n
		case i > 0 && i < 8: // guests are counted as users
			all += n
		}
	}
	return taken, all
}
