package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"weir/rfc9111"
)

// LogLine is a line of /v1/logs: a request, or how many the reader was too slow for. The names are
// those of the access log.
type LogLine struct {
	Dropped uint64 `json:"dropped,omitempty"` // requests that are missing here, whatever the filter; then nothing else is set

	Time       time.Time             `json:"time,omitzero"` // when it began
	Status     int                   `json:"status,omitempty"`
	Use        rfc9111.Use           `json:"use,omitempty"`
	Why        rfc9111.CachingStatus `json:"why,omitempty"`
	Tiers      string                `json:"tiers,omitempty"`
	Route      string                `json:"route,omitempty"`
	Key        string                `json:"key,omitempty"`
	Method     string                `json:"method,omitempty"`
	Host       string                `json:"host,omitempty"`
	Target     string                `json:"target,omitempty"`
	Bytes      int64                 `json:"bytes"`
	Ms         float64               `json:"ms"`
	Client     string                `json:"client,omitempty"`
	Deployment string                `json:"deployment,omitempty"`
	Aborted    bool                  `json:"aborted,omitempty"`
	Left       bool                  `json:"left,omitempty"`
	Error      string                `json:"error,omitempty"`
}

// line is r, which a journal has kept, for readers of logs.
func (r *Record) line() LogLine {
	l := LogLine{
		Time: r.Began.UTC().Truncate(time.Microsecond), Status: r.Status,
		Use: r.Decision.Use, Why: r.Decision.Status, Tiers: tiers(r.Decision),
		Route: r.Route, Key: r.digest(), Method: r.Method, Host: r.Host, Target: r.Target,
		Bytes: r.Bytes, Ms: float64(r.Duration.Microseconds()) / 1000, Client: r.Client, Deployment: r.Deployment,
		Aborted: r.Aborted, Left: r.Left,
	}
	if r.Err != nil && !r.Left {
		l.Error = printable(r.Err.Error())
	}
	return l
}

// logFilter says which requests somebody wants to see. What is empty allows all.
type logFilter struct {
	uses   []rfc9111.Use
	routes []string
}

func (f *logFilter) shows(r *Record) bool {
	return (len(f.uses) == 0 || slices.Contains(f.uses, r.Decision.Use)) &&
		(len(f.routes) == 0 || slices.Contains(f.routes, r.Route))
}

// readLogQuery reads follow, status and route. What it does not know it refuses: a filter with a
// slip in its name would show everything.
func readLogQuery(query string) (filter logFilter, follow bool, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return filter, false, badLogQuery("The query cannot be read.")
	}
	for name, given := range values {
		switch name {
		case "follow":
			follow = given[0] != "0" && given[0] != "false"
		case "route":
			filter.routes = given
		case "status":
			for _, use := range given {
				if !slices.Contains(uses, rfc9111.Use(use)) {
					return filter, false, badLogQuery(fmt.Sprintf("There is no status %q.", printable(use)))
				}
				filter.uses = append(filter.uses, rfc9111.Use(use))
			}
		default:
			return filter, false, badLogQuery(fmt.Sprintf("There is no parameter %q.", printable(name)))
		}
	}
	return filter, follow, nil
}

func badLogQuery(message string) *fault {
	return &fault{
		status: 400, code: "bad-query", message: message,
		hint: "The parameters are follow=1, status=hit, stale, miss or bypass, and route=NAME; the last two repeatable.",
	}
}

// logs sends the newest requests, or those that come from now on, one line of JSON each.
func (a *Admin) logs(w http.ResponseWriter, r *http.Request) error {
	filter, follow, err := readLogQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	reader := a.opts.Journal.recent()
	if follow && r.Method != http.MethodHead {
		if reader = a.opts.Journal.follow(); reader == nil {
			return &fault{
				status: 503, code: "too-many-followers", retry: 10,
				message: fmt.Sprintf("%d clients follow the log of this node already.", maxFollowers), hint: "End one of them.",
			}
		}
		defer reader.close()
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	s := &logStream{reader: reader, filter: filter, rc: http.NewResponseController(w), out: bufio.NewWriterSize(w, 32<<10)}
	s.lines = json.NewEncoder(s.out)
	s.lines.SetEscapeHTML(false)
	if !follow {
		return s.rest()
	}
	s.follow(r.Context()) // that it ends is no failure
	return nil
}

// logStream is one answer of /v1/logs.
type logStream struct {
	reader  *journalReader
	filter  logFilter
	rc      *http.ResponseController
	out     *bufio.Writer
	lines   *json.Encoder // into out
	records []*Record     // room for a piece
	news    <-chan struct{}
}

const (
	// logPause is how long a follower lets lines gather. It bounds what following can cost
	// the node: a whole journal 20 times a second.
	logPause = 50 * time.Millisecond

	// logPatience is how long a client may take no line, as a terminal that was stopped.
	logPatience = 5 * time.Minute
)

// follow sends what comes until the client leaves.
func (s *logStream) follow(ctx context.Context) {
	_ = s.rc.SetReadDeadline(time.Time{}) // the one for the request would end the stream
	for s.rest() == nil {
		if s.news != nil {
			select {
			case <-s.news:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(logPause):
		case <-ctx.Done():
			return
		}
	}
}

// rest sends what is there, at most a whole journal. news is nil after that if there is more.
func (s *logStream) rest() error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(logPatience)) // a client without a connection, as in tests, has none
	for range journalLength / journalPiece {
		var lost uint64
		s.records, lost, s.news = s.reader.read(s.records[:0])
		if err := s.send(lost); err != nil {
			return err
		}
		if s.news != nil {
			break
		}
	}
	if err := s.out.Flush(); err != nil {
		return err
	}
	return s.rc.Flush()
}

// send writes the lines of what was read.
func (s *logStream) send(lost uint64) error {
	if lost > 0 {
		if err := s.lines.Encode(map[string]uint64{"dropped": lost}); err != nil {
			return err
		}
	}
	for _, r := range s.records {
		if s.filter.shows(r) {
			if err := s.lines.Encode(r.line()); err != nil {
				return err
			}
		}
	}
	return nil
}
