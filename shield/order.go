package shield

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/keying"
	"weir/policy"
)

// ErrOrder means that a purge order cannot be carried out: it says which part of it and
// what would be right.
var ErrOrder = errors.New("shield: purge order")

// A PurgeOrder says what is to be purged: everything that any of its lists names.
type PurgeOrder struct {
	Tags     []string `json:"tags,omitempty"`
	URLs     []string `json:"urls,omitempty"`     // all variants, and all keys that key specs split them into
	Prefixes []string `json:"prefixes,omitempty"` // of URLs, byte for byte
	Hosts    []string `json:"hosts,omitempty"`    // without a scheme
	Keys     []string `json:"keys,omitempty"`     // digests in hex
	All      bool     `json:"all,omitempty"`
	Soft     bool     `json:"soft,omitempty"`   // what is named becomes stale instead of going
	DryRun   bool     `json:"dryRun,omitempty"` // nothing is purged, only counted
}

// A PurgeReport is what became of a PurgeOrder.
type PurgeReport struct {
	Epoch   uint64         `json:"epoch"`             // at which it is in force; of a dry run the current one
	Matched *int64         `json:"matched,omitempty"` // stored objects that it names, where they were counted
	Regions []RegionReport `json:"regions"`           // that apply it
	Pending []string       `json:"pending"`           // regions that did not say so in time
	Durable time.Time      `json:"-"`                 // when it was; zero of a dry run
}

// RegionReport is a region that applies a purge.
type RegionReport struct {
	Region    string `json:"region"`
	AppliedMs int64  `json:"appliedMs"` // from the durable purge to the region's word
}

// Bounds of an order.
const (
	maxNames   = 1000    // in all lists together
	maxTag     = 256     // bytes
	maxURL     = 8 << 10 // bytes
	orderTotal = "one call names at most 1,000 tags, URLs, prefixes, hosts and keys; send several"
)

// Rules turns an order into rules, or says with an [ErrOrder] what is wrong with it. t,
// which may be nil, says what keys URLs have.
func Rules(t *policy.Table, o PurgeOrder) ([]Rule, error) {
	n := len(o.Tags) + len(o.URLs) + len(o.Prefixes) + len(o.Hosts) + len(o.Keys)
	switch {
	case n == 0 && !o.All:
		return nil, fmt.Errorf("%w: it names nothing; give tags, urls, prefixes, hosts or keys, or all", ErrOrder)
	case n > 0 && o.All:
		return nil, fmt.Errorf("%w: all is given together with names; give one or the other", ErrOrder)
	case n > maxNames:
		return nil, fmt.Errorf("%w: %d names; %s", ErrOrder, n, orderTotal)
	}
	w := orderWriter{soft: o.Soft, seen: map[Rule]bool{}}
	if o.All {
		w.add(AllRule())
	}
	w.each("tags", o.Tags, tagRules)
	w.each("urls", o.URLs, func(s string) ([]Rule, error) { return URLRules(t, s) })
	w.each("prefixes", o.Prefixes, func(s string) ([]Rule, error) { return prefixRules(t, s) })
	w.each("hosts", o.Hosts, hostRules)
	w.each("keys", o.Keys, keyRules)
	return w.rules, w.err
}

// orderWriter collects the rules of an order, each once.
type orderWriter struct {
	soft  bool
	seen  map[Rule]bool
	rules []Rule
	err   error // the first mistake
}

func (w *orderWriter) add(rules ...Rule) {
	for _, r := range rules {
		if w.soft {
			r = r.Soft()
		}
		if !w.seen[r] {
			w.seen[r] = true
			w.rules = append(w.rules, r)
		}
	}
}

func (w *orderWriter) each(list string, names []string, rules func(string) ([]Rule, error)) {
	for i, name := range names {
		if w.err != nil {
			return
		}
		named, err := rules(name)
		if err != nil {
			w.rules, w.err = nil, fmt.Errorf("%w: %s[%d] %.80q: %w", ErrOrder, list, i, name, err)
			return
		}
		w.add(named...)
	}
}

func tagRules(tag string) ([]Rule, error) {
	switch {
	case tag == "" || len(tag) > maxTag:
		return nil, fmt.Errorf("has %d bytes; a tag has 1 to %d", len(tag), maxTag)
	case hasControls(tag):
		return nil, errors.New("has control bytes; a tag has none")
	}
	return []Rule{TagRule(tag)}, nil
}

// prefixRules names what begins with prefix. Of a prefix that reaches into a query which
// routes do not forward as it is only the path counts: that purges more rather than less.
func prefixRules(t *policy.Table, prefix string) ([]Rule, error) {
	u, err := parseURL(prefix)
	if err != nil {
		return nil, err
	}
	if path, _, ok := strings.Cut(u.target, "?"); ok {
		for _, spec := range querySpecs(t, u.host, u.target) {
			if spec.Query != keying.QueryAll || spec.Sort || spec.BaseIsPath {
				u.target = path
			}
		}
	}
	return []Rule{PrefixRule(u.scheme + "://" + u.host + u.target)}, nil
}

// hostRules names a host as keys have it, which depends on the scheme when there is a port.
func hostRules(host string) ([]Rule, error) {
	plain, ok := keying.CanonicalHost(host, "http")
	if !ok {
		return nil, errors.New("is no host; write name, name:port or an IP address, without scheme and path")
	}
	rules := []Rule{HostRule(plain)}
	if secure, _ := keying.CanonicalHost(host, "https"); secure != plain {
		rules = append(rules, HostRule(secure))
	}
	return rules, nil
}

func keyRules(key string) ([]Rule, error) {
	d, err := hex.DecodeString(key)
	if err != nil || len(d) != digestSize {
		return nil, fmt.Errorf("is no key; a key is %d hex digits", 2*digestSize)
	}
	return []Rule{KeyRule(keying.Digest(d))}, nil
}

// A location is a URL as keys have it.
type location struct{ scheme, host, target string }

// parseURL takes apart what people write, and refuses what no client could have asked for.
func parseURL(s string) (location, error) {
	u, ok := splitURL(s)
	u.scheme = strings.ToLower(u.scheme)
	switch {
	case len(s) > maxURL:
		return u, fmt.Errorf("has %d bytes; a URL has at most %d", len(s), maxURL)
	case !ok || u.scheme != "http" && u.scheme != "https":
		return u, errors.New("is no absolute URL; it begins with http:// or https://")
	case strings.Contains(s, "#"):
		return u, errors.New("has a fragment, which servers never see; leave it out")
	case strings.Contains(u.host, "@"):
		return u, errors.New("has a user; leave out what stands before the host")
	}
	host, ok := keying.CanonicalHost(u.host, u.scheme)
	if !ok {
		return u, errors.New("has no valid host; write http://name/path or http://name:port/path")
	}
	u.host = host
	for i := range len(u.target) {
		if c := u.target[i]; c <= ' ' || c >= 0x7f {
			return u, fmt.Errorf("has the byte %#02x in its path or query; write it as %%%02X", c, c)
		}
	}
	return u, nil
}

func hasControls(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}
