package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// nodeFlags say which running node a command asks.
type nodeFlags struct {
	Admin nodeURL `default:"127.0.0.1:8081" placeholder:"URL" help:"Admin listener of the node: a URL, or HOST:PORT (default: ${default})."`
	Token string  `placeholder:"TOKEN" help:"Its admin token."`
}

// nodeURL is a node's admin listener. It also takes the form in which serve is
// told to listen, since both read WEIR_ADMIN.
type nodeURL string

// UnmarshalText parses a URL or an address.
func (u *nodeURL) UnmarshalText(text []byte) error {
	given := string(text)
	if !strings.Contains(given, "://") {
		var listen address
		if err := listen.UnmarshalText(text); err != nil {
			return fmt.Errorf("%q is neither a URL nor HOST:PORT", given)
		}
		host, port, _ := net.SplitHostPort(given)
		if host == "" || host == "0.0.0.0" || host == "::" {
			host = "localhost"
		}
		*u = nodeURL("http://" + net.JoinHostPort(host, port))
		return nil
	}
	parsed, err := url.Parse(given)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" {
		return fmt.Errorf("%q is not the URL of an admin listener; write http://HOST:PORT", given)
	}
	*u = nodeURL(parsed.Scheme + "://" + parsed.Host)
	return nil
}

// maxAnswer bounds what a node's answer may take here, in bytes.
const maxAnswer = 64 << 20

// get asks the node for path and returns the body of its answer.
func (f *nodeFlags) get(ctx context.Context, con console, path string) ([]byte, error) {
	return f.ask(ctx, con, http.MethodGet, path, nil)
}

// ask sends the node a request, with content that is JSON or nil, and returns the body of its answer.
func (f *nodeFlags) ask(ctx context.Context, con console, method, path string, content io.Reader) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	resp, err := f.open(ctx, con, method, path, content)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", f.Admin, err)
	}
	return body, nil
}

// open sends the node a request and returns its answer, which is to be closed, if it is not a refusal.
func (f *nodeFlags) open(ctx context.Context, con console, method, path string, content io.Reader) (*http.Response, error) {
	header := http.Header{}
	if content != nil {
		header.Set("Content-Type", "application/json")
	}
	return f.send(ctx, con, method, path, content, header)
}

// send is open with fields of the caller's.
func (f *nodeFlags) send(ctx context.Context, con console, method, path string, content io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, string(f.Admin)+path, content)
	if err != nil {
		return nil, err
	}
	req.Header = header
	token := f.Token
	if token == "" {
		token = con.env("WEIR_ADMIN_TOKEN") // what the node itself reads
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, unreachable(string(f.Admin), err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNoContent {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", f.Admin, err)
	}
	path, _, _ = strings.Cut(path, "?") // the rest may be secret
	failed := refusal(string(f.Admin)+path, resp.StatusCode, body)
	if resp.StatusCode == http.StatusBadRequest {
		failed = usageError{failed}
	}
	return nil, failed
}

// refusedError is what a node answered with instead of what it was asked for.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

func unreachable(node string, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	failed := fmt.Errorf("no answer from %s: %w", node, err)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return advised{failed, "No node has its admin listener there. Start one with weir serve, or name it with --admin."}
	}
	return failed
}

// refusal is the error that a node answered with.
func refusal(at string, status int, body []byte) error {
	var answer struct {
		Error struct{ Message, Hint string }
	}
	failed := &refusedError{status, fmt.Sprintf("%s answered with status %d; is it the admin listener of a weir node?", at, status)}
	if json.Unmarshal(body, &answer) == nil && answer.Error.Message != "" {
		failed.text = at + ": " + answer.Error.Message
	}
	switch {
	case status == http.StatusUnauthorized:
		return advised{failed, "Give the token with --token, or as WEIR_TOKEN."}
	case answer.Error.Hint != "":
		return advised{failed, answer.Error.Hint}
	}
	return failed
}
