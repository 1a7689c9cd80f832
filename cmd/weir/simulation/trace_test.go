package simulation_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// kept is how much is remembered of each URL, and of what concerns all.
const kept = 60

// trace remembers what happened lately.
type trace struct {
	began time.Time

	mu    sync.Mutex // guards what follows
	count int
	about map[string][]remark // by URL, "" for what concerns all
}

type remark struct {
	number int
	text   string
}

// note remembers something about a URL, "" for all of them.
func (t *trace) note(url, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	text := fmt.Sprintf("%10.4fs  %s", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
	all := append(t.about[url], remark{t.count, text})
	if len(all) > 2*kept {
		all = slices.Clone(all[kept:])
	}
	t.about[url] = all
}

// tell is what is remembered about a URL, in order.
func (t *trace) tell(url string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.about[url])
	first := 0
	if len(all) > 0 {
		first = all[max(0, len(all)-kept)].number
		all = all[max(0, len(all)-kept):]
	}
	for _, r := range t.about[""] {
		if url != "" && r.number >= first {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b remark) int { return a.number - b.number })
	lines := make([]string, len(all))
	for i, r := range all {
		lines[i] = r.text
	}
	return strings.Join(lines, "\n")
}
