package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/kv"
)

// noQuery refuses parameters where none mean anything: what is misspelt must not be lost
// without a word.
func noQuery(r *http.Request) error {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return badRequest("This request takes no parameters.", "Leave the query out. PUT takes ttl, stale and tag.")
	}
	return nil
}

// readDraft reads what the query says of a value: ttl, stale, and tags.
func readDraft(rawQuery string, d *kv.Draft) error {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return badValue("the query cannot be read; escape &, ; and % in tags", err)
	}
	for name, values := range query {
		switch {
		case name != "ttl" && name != "stale" && name != "tag":
			return badValue(fmt.Sprintf("%.40q is no parameter; the parameters are ttl, stale and tag", name), nil)
		case name != "tag" && len(values) > 1:
			return badValue(name+" stands twice; give it once", nil)
		}
	}
	if d.TTL, err = durationOf("ttl", query["ttl"]); err != nil {
		return err
	}
	if d.Stale, err = durationOf("stale", query["stale"]); err != nil {
		return err
	}
	if d.Stale > 0 && d.TTL == 0 {
		return badValue("it has stale and no ttl; give it a ttl, after which it is stale", nil)
	}
	for _, tag := range query["tag"] {
		if strings.ContainsRune(tag, ',') {
			return badValue(fmt.Sprintf("the tag %.40q has a comma; give several tags as tag=a&tag=b", tag), nil)
		}
	}
	d.Tags = query["tag"]
	return nil
}

func durationOf(name string, values []string) (time.Duration, error) {
	if len(values) == 0 {
		return 0, nil
	}
	d, ok := parseSeconds(values[0])
	switch {
	case !ok:
		return 0, badValue(fmt.Sprintf("%s is %.40q; write seconds such as 60 or 0.5, at most %d", name, values[0], maxSeconds), nil)
	case d == 0 && name == "ttl":
		return 0, errZeroTTL
	}
	return d, nil
}

// errZeroTTL is refused because it would mean for ever to this API, and at once to many who
// compute what is left of something.
var errZeroTTL = badValue("ttl is 0; leave it out for a value that stays, or give a time", nil)

// maxSeconds is a hundred years: beyond it times would leave their range.
const maxSeconds = 100 * 365 * 24 * 60 * 60

// parseSeconds reads digits, perhaps with a fraction of at most nine.
func parseSeconds(s string) (time.Duration, bool) {
	whole, fraction, dotted := strings.Cut(s, ".")
	if !digits(whole, 10) || dotted && !digits(fraction, 9) {
		return 0, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > maxSeconds {
		return 0, false
	}
	nanos := int64(0)
	if dotted {
		nanos, err = strconv.ParseInt(fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
	}
	return time.Duration(n)*time.Second + time.Duration(nanos), err == nil
}

func digits(s string, most int) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// conditions are the fields of RFC 9110 13.1 that speak of versions, and Weir-If-Epoch.
type conditions struct {
	match, noneMatch *tagList // nil without the field
	since            uint64
}

// tagList is "*" or entity tags.
type tagList struct {
	any  bool
	tags []string // as they stand between the quotes
}

func readConditions(h http.Header) (c conditions, err error) {
	if c.match, err = readTags(h, "If-Match", false); err != nil {
		return c, err
	}
	if c.noneMatch, err = readTags(h, "If-None-Match", true); err != nil {
		return c, err
	}
	switch said := h[fieldIfEpoch]; {
	case len(said) > 1:
		err = badRequest("weir-if-epoch stands twice.", "Send it once.")
	case len(said) == 1:
		if c.since, err = strconv.ParseUint(said[0], 10, 64); err != nil || c.since == 0 {
			err = badRequest("weir-if-epoch is no epoch.", "Send what weir-epoch said when the value was found missing or old.")
		}
	}
	return c, err
}

// readTags reads a list of entity tags. A weak one never matches where strong ones are
// compared, RFC 9110 8.8.3.2.
func readTags(h http.Header, name string, weak bool) (*tagList, error) {
	lines := h[name]
	if lines == nil {
		return nil, nil
	}
	list := &tagList{}
	bad := badRequest(name+" is neither * nor a list of entity tags.", `Send an ETag as it came, with its quotes: "41".`)
	rest := strings.TrimSpace(strings.Join(lines, ","))
	if rest == "*" {
		list.any = true
		return list, nil
	}
	for rest != "" {
		tag, isWeak := strings.CutPrefix(rest, "W/")
		tag, opened := strings.CutPrefix(tag, `"`)
		end := strings.IndexByte(tag, '"')
		if !opened || end < 0 {
			return nil, bad
		}
		if !isWeak || weak {
			list.tags = append(list.tags, tag[:end])
		}
		rest = strings.TrimLeft(tag[end+1:], " \t")
		if rest == "" {
			return list, nil
		}
		if rest[0] != ',' {
			return nil, bad
		}
		rest = strings.TrimLeft(rest[1:], " \t,")
	}
	return nil, bad
}

func (l *tagList) holds(version uint64) bool {
	return l.any || slices.Contains(l.tags, strconv.FormatUint(version, 10))
}

// matches and noneMatches are about a value that is there.
func (c conditions) matches(version uint64) bool { return c.match == nil || c.match.holds(version) }

func (c conditions) noneMatches(version uint64) bool {
	return c.noneMatch != nil && c.noneMatch.holds(version)
}

// ofWrite is what c means for a write. fails says that it cannot hold.
func (c conditions) ofWrite() (cond kv.Condition, fails bool, err error) {
	cond.Since = c.since
	if c.noneMatch != nil {
		if !c.noneMatch.any {
			return cond, false, badRequest("A write takes If-None-Match: * alone.", `Send If-Match: "VERSION" to replace what you have read.`)
		}
		cond.Absent = true
	}
	switch {
	case c.match == nil:
	case c.match.any:
		cond.Present = true
	case len(c.match.tags) > 1:
		return cond, false, badRequest("A write takes one version in If-Match.", "Send the ETag that the write is to replace.")
	case len(c.match.tags) == 0:
		return cond, true, nil // weak ones, which never match
	default:
		version, err := strconv.ParseUint(c.match.tags[0], 10, 64)
		if err != nil || version == 0 || c.match.tags[0] != strconv.FormatUint(version, 10) {
			return cond, true, nil // of nothing that was ever here
		}
		cond.Version = version
	}
	return cond, false, nil
}
