package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"weir/keying"
	"weir/kv"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// ClientOptions say which shield is asked, and by whom. URLs and Purges are needed.
type ClientOptions struct {
	// URLs are the shield's addresses, http://host:port or https://host:port. With a
	// secret all of them are spoken to over TLS, without one only loopback is. Several are
	// tried in turn, one after another has failed.
	URLs   []string
	Secret string
	Region string         // of this node; "": local
	Node   string         // tells this node from others of the region
	Purges *shield.Purges // made by [shield.NewFollower]

	MaxBlind  func() time.Duration      // nil: 5 s
	Partition func() policy.OnPartition // nil: the default
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	Now       func() time.Time // nil: time.Now
	Report    func(error)      // told of troubles with the shield; nil: nobody

	// Pushed is told of values that were written, once Run has begun; nil: they are not sent.
	Pushed func(kv.Pushed)

	Grace time.Duration // how long a shield that does not answer is taken for one that starts again; 0: 3 s
}

func (o ClientOptions) withDefaults() ClientOptions {
	if o.Region == "" {
		o.Region = "local"
	}
	if o.MaxBlind == nil {
		o.MaxBlind = func() time.Duration { return 5 * time.Second }
	}
	if o.Partition == nil {
		o.Partition = func() policy.OnPartition { return policy.PartitionRevalidate }
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	if o.Grace <= 0 {
		o.Grace = 3 * time.Second
	}
	return o
}

// dialTimeout bounds how long a connection takes, the proof of the secret included.
const dialTimeout = 3 * time.Second

// Client is an edge's way to the shield: what it asks, and what it knows of purges.
// It is a [shield.Parent] and the l1.Epochs of the edge. Its methods are called
// concurrently.
type Client struct {
	opts   ClientOptions
	creds  *Credentials
	addrs  []string
	active atomic.Uint32 // index of the address in use
	http   *http.Transport

	base    context.Context // of everything that outlives a request
	cancel  context.CancelFunc
	mu      sync.Mutex // guards closed, and running.Add against Close
	closed  bool
	running sync.WaitGroup

	outage   outage
	line     line
	sight    sight
	catchUps rounds // questions what was purged
	counts   counts
	debts    rounds        // of handing over what is owed
	heard    atomic.Uint64 // as of Heard
}

// NewClient returns a client. Run keeps it up to date, Close ends it.
func NewClient(opts ClientOptions) (*Client, error) {
	c := &Client{opts: opts.withDefaults()}
	var err error
	if c.creds, err = NewCredentials(opts.Secret); err != nil {
		return nil, err
	}
	if len(opts.URLs) == 0 || opts.Purges == nil {
		return nil, errors.New("peer: a client needs the URL of a shield, and purges")
	}
	for _, u := range opts.URLs {
		addr, err := address(u, c.creds != nil)
		if err != nil {
			return nil, err
		}
		c.addrs = append(c.addrs, addr)
	}
	c.base, c.cancel = context.WithCancel(context.Background())
	c.outage.grace = c.opts.Grace
	c.line.cut(c.base)
	c.sight.begin(c.opts.Now())
	c.http = &http.Transport{
		DialContext:            func(ctx context.Context, _, addr string) (net.Conn, error) { return c.dial(ctx, addr) },
		DisableCompression:     true, // bodies are as they are stored
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        30 * time.Second, // less than the door's
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         16 << 10,
		WriteBufferSize:        16 << 10,
	}
	return c, nil
}

// address is where u points to.
func address(u string, secret bool) (string, error) {
	at, err := url.Parse(u)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Hostname() == "" || at.Port() == "" || at.Path != "" && at.Path != "/" {
		return "", fmt.Errorf("peer: %q is not http://host:port or https://host:port", u)
	}
	if !secret {
		ip, err := netip.ParseAddr(at.Hostname())
		if at.Scheme == "https" || at.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
			return "", fmt.Errorf("peer: %s cannot be asked without a secret: only http on loopback can", u)
		}
	}
	return at.Host, nil
}

// dial connects, and proves the secret.
func (c *Client) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.opts.Dial(ctx, "tcp", addr)
	if err != nil || c.creds == nil {
		return conn, err
	}
	secured := c.creds.client(conn)
	if err := secured.(interface{ HandshakeContext(context.Context) error }).HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("prove the secret: %w", err)
	}
	return secured, nil
}

// address returns the one in use.
func (c *Client) address() string { return c.addrs[int(c.active.Load())%len(c.addrs)] }

// lost notes that addr did not answer: another one is next.
func (c *Client) lost(addr string) {
	c.outage.failed(time.Now())
	if at := c.active.Load(); c.addrs[int(at)%len(c.addrs)] == addr {
		c.active.CompareAndSwap(at, at+1)
	}
}

// begin counts in what Close waits for, unless the client is closed.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Add(1)
	return true
}

// Close ends what runs and waits for it. Bodies that are still read end in an error.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
	c.http.CloseIdleConnections()
}

// maxMessage bounds answers that are neither replies nor batches.
const maxMessage = 1 << 20

// call posts a message and returns the answer, at most limit bytes of it.
func (c *Client) call(ctx context.Context, pathQuery string, body []byte, limit int64) (answer []byte, epoch string, err error) {
	addr := c.address()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+pathQuery, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	resp, err := c.http.RoundTrip(req)
	if err != nil {
		if ctx.Err() == nil {
			c.lost(addr)
		}
		return nil, "", fmt.Errorf("%w: %w", shield.ErrParent, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("%w: %w", shield.ErrParent, err)
	case int64(len(answer)) > limit:
		return nil, "", ErrMalformed
	case resp.StatusCode != http.StatusOK:
		return nil, "", errorOf(resp.StatusCode, answer)
	}
	c.outage.over()
	return answer, resp.Header.Get(EpochField), nil
}

// Purge has the shield purge for all regions.
func (c *Client) Purge(ctx context.Context, order shield.PurgeOrder) (report shield.PurgeReport, err error) {
	body, err := json.Marshal(order)
	if err != nil {
		return report, err
	}
	answer, _, err := c.call(ctx, PathPurge, body, maxMessage)
	if err != nil {
		return report, fmt.Errorf("purge at the shield: %w", err)
	}
	if err := json.Unmarshal(answer, &report); err != nil {
		return report, fmt.Errorf("purge at the shield: %w: %w", ErrMalformed, err)
	}
	return report, nil
}

// explainTimeout bounds how long the shield's part of an explanation is waited for.
const explainTimeout = 5 * time.Second

// Explain returns what the shield says would become of req, in JSON. It asks each shield once.
func (c *Client) Explain(ctx context.Context, req *policy.Request) (answer []byte, err error) {
	if !c.begin() {
		return nil, fmt.Errorf("%w: this node is being stopped", shield.ErrParent)
	}
	defer c.running.Done()
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	body := append(AppendFrame(nil, askFor(req, c.opts.Region).Encode()), req.Body...)
	for range c.addrs {
		answer, _, err = c.call(ctx, PathExplain, body, maxMessage)
		if !errors.Is(err, shield.ErrParent) {
			break
		}
	}
	return answer, err
}

// Current changes whenever a purge comes into force here.
func (c *Client) Current() uint64 { return c.opts.Purges.Version() }

// Purged says whether a purge newer than resp.Epoch matches resp.
func (c *Client) Purged(key keying.Key, resp *rfc9111.Response) bool {
	return c.opts.Purges.Purged(key, resp)
}

// Softened says whether a soft purge newer than resp.Epoch matches resp.
func (c *Client) Softened(key keying.Key, resp *rfc9111.Response) bool {
	return c.opts.Purges.Softened(key, resp)
}
