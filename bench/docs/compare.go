package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// comparison is one pass over a tree.
type comparison struct {
	origin, weir string
	tree, name   string
	expect       string
	coded        bool
}

// added lists the fields that weir may send and the origin need not.
var added = []string{"Age", "Cache-Status", "Via", "X-Cache", "X-Cache-Tier", "X-Caching-Status"}

// answer is what a client can tell of a response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c *comparison) run(ctx context.Context) error {
	targets, err := c.targets()
	if err != nil {
		return err
	}
	client := &http.Client{
		// Redirects are answers to be compared, and codings are asked for by hand.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableCompression: true},
	}
	defer client.CloseIdleConnections()
	uses := make(map[string]int)
	var bytes int64
	var spent [2]time.Duration
	differing := 0
	for _, target := range targets {
		began := time.Now()
		want, err := ask(ctx, client, c.origin+target, "")
		if err != nil {
			return err
		}
		spent[0] += time.Since(began)
		coding := ""
		if c.coded {
			coding = "gzip"
		}
		began = time.Now()
		got, err := ask(ctx, client, c.weir+target, coding)
		if err != nil {
			return err
		}
		spent[1] += time.Since(began)
		bytes += int64(len(got.body))
		uses[got.header.Get("X-Cache")]++
		if coding := got.header.Get("Content-Encoding"); coding != "" {
			uses[coding]++
		}
		if err := c.compare(want, got); err != nil {
			if differing++; differing <= 10 {
				fmt.Fprintf(os.Stderr, "%s: %v\n", target, err)
			}
		}
	}
	var said []string
	for _, use := range slices.Sorted(maps.Keys(uses)) {
		said = append(said, fmt.Sprintf("%s %d", use, uses[use]))
	}
	fmt.Printf("%-28s %6d requests, %6d equal, %7.1f MB, origin %5.2f s, weir %5.2f s, %s\n", c.name, len(targets), len(targets)-differing,
		float64(bytes)/1e6, spent[0].Seconds(), spent[1].Seconds(), strings.Join(said, ", "))
	if differing > 0 {
		return fmt.Errorf("%s: %d answers differ", c.name, differing)
	}
	return nil
}

// targets are all files of the tree.
func (c *comparison) targets() ([]string, error) {
	var targets []string
	err := filepath.WalkDir(c.tree, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(c.tree, name)
		targets = append(targets, "/"+filepath.ToSlash(rel))
		return err
	})
	if len(targets) == 0 && err == nil {
		err = errors.New("the tree is empty")
	}
	return targets, err
}

// ask requests url under a name that both servers are asked by, since a redirect
// may repeat it.
func ask(ctx context.Context, client *http.Client, url, coding string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	req.Host = "docs.test"
	if coding != "" {
		req.Header.Set("Accept-Encoding", coding)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", url, err)
	}
	if resp.ContentLength >= 0 {
		resp.Header.Set("Content-Length", fmt.Sprint(resp.ContentLength))
	}
	return answer{resp.StatusCode, resp.Header, body}, nil
}

// compare says what of got is not what the origin said in want.
func (c *comparison) compare(want, got answer) error {
	if c.expect != "" && got.header.Get("X-Cache") != c.expect {
		return fmt.Errorf("x-cache is %q, want %q", got.header.Get("X-Cache"), c.expect)
	}
	if got.status != want.status {
		return fmt.Errorf("status %d, want %d", got.status, want.status)
	}
	skip := slices.Concat(added, []string{"Date", "Connection", "Keep-Alive"})
	if c.coded && got.header.Get("Content-Encoding") == "gzip" {
		body, err := gunzip(got.body)
		if err != nil {
			return err
		}
		got.body = body
		// Another representation: RFC 9110 8.4, 8.6, 8.8.1, 12.5.5 and 14.3.
		skip = append(skip, "Content-Encoding", "Content-Length", "Accept-Ranges", "Vary")
		want.header = want.header.Clone()
		if etag := want.header.Get("ETag"); etag != "" && !strings.HasPrefix(etag, "W/") {
			want.header.Set("ETag", "W/"+etag)
		}
		if !strings.EqualFold(got.header.Get("Vary"), "accept-encoding") {
			return fmt.Errorf("coded, but vary is %q", got.header.Get("Vary"))
		}
	}
	if !bytes.Equal(got.body, want.body) {
		return fmt.Errorf("body of %d bytes differs from the origin's %d", len(got.body), len(want.body))
	}
	if want.header["Vary"] == nil && strings.EqualFold(got.header.Get("Vary"), "accept-encoding") {
		skip = append(skip, "Vary") // others get it coded, RFC 9110 12.5.5
	}
	for name := range union(want.header, got.header) {
		if !slices.Contains(skip, name) && !slices.Equal(got.header[name], want.header[name]) {
			return fmt.Errorf("%s is %q, want %q", name, got.header[name], want.header[name])
		}
	}
	return nil
}

func union(a, b http.Header) http.Header {
	all := a.Clone()
	maps.Copy(all, b)
	return all
}

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
