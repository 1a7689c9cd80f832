package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"weir/api"
	"weir/rfc9111"
)

// logsCommand prints a node's requests.
type logsCommand struct {
	Follow bool     `short:"f" help:"Go on with each request as it ends, until interrupted."`
	Status []string `enum:"hit,stale,miss,bypass" placeholder:"STATUS" help:"Only requests with this x-cache: hit, stale, miss or bypass; repeatable."`
	Route  []string `sep:"none" placeholder:"ROUTE" help:"Only requests of this route; repeatable."`
	JSON   bool     `name:"json" help:"Print lines of JSON, as without a terminal."`
	nodeFlags
}

// Help is the long description in --help.
func (logsCommand) Help() string {
	return `Without --follow, the newest requests that the node remembers: 1,024 at most, and of times with many requests
a sample. With --follow, all requests from now on. A reader that is too slow for them does not slow the node
down: it is told how many requests are missing at that place.

On a terminal each request is a line: when it began, x-cache, status, method, length of the body, how long it took,
host and target, route, x-caching-status, and what went wrong. Elsewhere, a line is a JSON object with these fields
and more: {"time":...,"status":200,"use":"hit","why":"ok","route":...}, or {"dropped":12}.`
}

func (logsCommand) manual() manual {
	return manual{
		examples: `weir logs --follow
weir logs --follow --status miss --status bypass --route product
weir logs --follow --json | jq -r 'select(.ms > 500) | .target'`,
		environment: "NO_COLOR   When it is set, no colours.",
		exit:        "0 done; 1 the node cannot be asked, or ended while it was followed; 2 wrong usage",
	}
}

// Run prints lines until there are no more.
func (c *logsCommand) Run(ctx context.Context, con console) error {
	query := url.Values{"status": c.Status, "route": c.Route}
	if c.Follow {
		query.Set("follow", "1")
	}
	path := "/v1/logs"
	if q := query.Encode(); q != "" {
		path += "?" + q
	}
	resp, err := c.open(ctx, con, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, ok := con.terminal(); c.JSON || !ok {
		_, err = io.Copy(con.out, resp.Body)
	} else {
		err = printLines(con, resp.Body)
	}
	switch {
	case ctx.Err() != nil:
		return nil // it was told to end
	case err != nil:
		return fmt.Errorf("read the log of %s: %w", c.Admin, err)
	case c.Follow:
		return advised{fmt.Errorf("%s has ended", c.Admin), "Follow it again when the node is back."}
	}
	return nil
}

// maxLine bounds a line of a node's log, in bytes.
const maxLine = 64 << 10

// printLines prints lines of JSON for people.
func printLines(con console, lines io.Reader) error {
	paint := painter(con.colours())
	scan := bufio.NewScanner(lines)
	scan.Buffer(nil, maxLine)
	for scan.Scan() {
		var line api.LogLine
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			return errors.New("a line is not what weir nodes write")
		}
		if _, err := fmt.Fprintln(con.out, paint.line(&line)); err != nil {
			return err
		}
	}
	return scan.Err()
}

// painter colours text, if it may.
type painter bool

// The colours of x-cache and of what is unusual, ECMA-48 8.3.117.
var useColours = map[rfc9111.Use]string{rfc9111.Hit: "32", rfc9111.Stale: "33", rfc9111.Miss: "36", rfc9111.Bypass: "35"}

const (
	faint = "2"
	red   = "31"
)

func (p painter) in(colour, text string) string {
	if !p || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// line is a request for people.
func (p painter) line(l *api.LogLine) string {
	if l.Dropped > 0 {
		return p.in(faint, fmt.Sprintf("%d requests are missing here: they came faster than they were read", l.Dropped))
	}
	status := fmt.Sprintf("%3d", l.Status)
	if l.Status >= 500 || l.Aborted && !l.Left {
		status = p.in(red, status)
	}
	said := []string{
		p.in(faint, l.Time.Local().Format("15:04:05.000")),
		p.in(useColours[l.Use], fmt.Sprintf("%-6s", tame(string(l.Use)))),
		status,
		fmt.Sprintf("%-4s %9s %8.1f ms", tame(l.Method), roughly(l.Bytes), l.Ms),
		tame(l.Host + l.Target),
		p.in(faint, tame(strings.TrimSpace(l.Route+" "+string(l.Why)))),
	}
	switch {
	case l.Left:
		said = append(said, p.in(faint, "the client left"))
	case l.Error != "":
		said = append(said, p.in(red, tame(l.Error)))
	}
	return strings.Join(said, "  ")
}
