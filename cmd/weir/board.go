package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"weir/rfc9111"
)

// What a terminal is told, ECMA-48 and xterm: another screen without a cursor, and back; from the top;
// the rest of a line, and of the screen, is empty.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	topOfScreen = "\x1b[H"
	endOfLine   = "\x1b[K"
	endOfScreen = "\x1b[J"
)

// boardEvery is how often the board is drawn.
const boardEvery = time.Second

// live shows the counters until ctx or an interrupt ends it. A node that cannot be asked from
// the beginning is an error; later it may come back.
func (c *statsCommand) live(ctx context.Context, con console) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &board{node: string(c.Admin)}
	if err := b.look(c.fetch(ctx, con)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(con.out, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = fmt.Fprint(con.out, leaveScreen) }()
	tick := time.NewTicker(boardEvery)
	defer tick.Stop()
	for {
		size, _ := con.terminal()
		if _, err := fmt.Fprint(con.out, b.draw(size)); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		b.trouble = b.look(c.fetch(ctx, con))
	}
}

// board is what the screen shows: the counters, and how they have changed.
type board struct {
	node        string // that is asked
	now, before snapshot
	trouble     error // why now is old, nil when it is not
}

// snapshot is a node's counters at a time.
type snapshot struct {
	at    time.Time
	stats *nodeStats // nil: none yet
}

// look takes a new snapshot, if there is one.
func (b *board) look(stats *nodeStats, err error) error {
	if err != nil {
		return err
	}
	b.before, b.now = b.now, snapshot{time.Now(), stats}
	if b.before.stats != nil && b.before.stats.Uptime > stats.Uptime {
		b.before = snapshot{} // the node has started again, and counts from 0
	}
	return nil
}

// draw returns what makes the screen show the board. What has no room is left out.
func (b *board) draw(size screen) string {
	lines := strings.Split(strings.TrimRight(b.text(), "\n"), "\n")
	if len(lines) > size.height {
		lines = lines[:size.height]
	}
	for i, line := range lines {
		lines[i] = cut(tame(line), size.width) + endOfLine
	}
	return topOfScreen + strings.Join(lines, "\r\n") + endOfScreen
}

// cut returns as much of a line as fits.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width])
}

// text is the board without a screen.
func (b *board) text() string {
	var out strings.Builder
	fmt.Fprintf(&out, "weir stats of %s at %s", b.node, b.now.at.Format(time.TimeOnly))
	if b.trouble != nil {
		fmt.Fprintf(&out, "; no news since: %s", strings.ReplaceAll(b.trouble.Error(), "\n", " "))
	}
	out.WriteString("\n\n")
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tper second\tin all\tshare now\tof all\t")
	row := func(name string, part, whole func(*nodeStats) uint64) {
		p, w := b.change(part), b.change(whole)
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t\n", name, p.rate(), p.total, share(p.since, w.since, p.known), share(p.total, w.total, true))
	}
	row("requests", requestsOf(), requestsOf())
	for _, use := range []rfc9111.Use{rfc9111.Hit, rfc9111.Stale, rfc9111.Miss, rfc9111.Bypass} {
		row(string(use), requestsOf(use), requestsOf())
	}
	row("from the cache", requestsOf(rfc9111.Hit, rfc9111.Stale), requestsOf())
	row("asked of origins", func(n *nodeStats) uint64 { return uint64(n.Shield.OriginRequests) }, requestsOf())
	sent := b.change(func(n *nodeStats) uint64 { return n.Door.BytesSent })
	fmt.Fprintf(t, "sent\t%s\t%s\t\t\t\n", sent.bytes(), roughly(int64(sent.total)))
	_ = t.Flush() // into memory
	out.WriteString("\n")
	_ = b.now.stats.print(&out)
	return out.String()
}

// requestsOf counts requests that ended in one of these ways, or in any.
func requestsOf(uses ...rfc9111.Use) func(*nodeStats) uint64 {
	return func(n *nodeStats) (total uint64) {
		for _, r := range n.Door.Requests {
			for _, use := range uses {
				if r.Use == use {
					total += r.Count
				}
			}
			if len(uses) == 0 {
				total += r.Count
			}
		}
		return total
	}
}

// change is how a counter has changed between two snapshots.
type change struct {
	total, since uint64
	took         time.Duration
	known        bool // there are two
}

func (b *board) change(count func(*nodeStats) uint64) change {
	c := change{total: count(b.now.stats)}
	if b.before.stats != nil {
		c.since, c.took = c.total-min(c.total, count(b.before.stats)), b.now.at.Sub(b.before.at)
		c.known = c.took > 0
	}
	return c
}

func (c change) rate() string {
	if !c.known {
		return "-"
	}
	rate, digits := float64(c.since)/c.took.Seconds(), 0
	if 0 < rate && rate < 10 {
		digits = 1
	}
	return strconv.FormatFloat(rate, 'f', digits, 64)
}

func (c change) bytes() string {
	if !c.known {
		return "-"
	}
	return roughly(int64(float64(c.since) / c.took.Seconds()))
}

func share(part, whole uint64, known bool) string {
	if !known || whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", percent(part, whole))
}
