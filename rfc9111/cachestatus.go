package rfc9111

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxOriginStatus is how much of an origin's own Cache-Status is kept, in bytes.
const maxOriginStatus = 1024

// Apply writes x-cache, x-cache-tier, x-caching-status and Cache-Status into h. region names the
// edge's member ("weir-<region>"), the shield's is "weir-shield". A Cache-Status of the origin is kept in front, RFC 9211 2.
//
// The tiers' uses are the truth that the four are rendered from; what contradicts
// them in d is put right, so that the four always agree.
func (d Decision) Apply(h http.Header, region string) {
	d = d.settled()
	var scratch [160]byte
	out := append(append(scratch[:0], "oc="...), d.Outer...)
	if d.Shield != NotAsked {
		out = append(append(out, ", sc="...), d.Shield...)
	}
	tiers := len(out)
	both := string(d.appendStatus(out, h["Cache-Status"], region))
	values := []string{string(d.Use), both[:tiers], string(d.Status), both[tiers:]}
	h["X-Cache"] = values[0:1:1]
	h["X-Cache-Tier"] = values[1:2:2]
	h["X-Caching-Status"] = values[2:3:3]
	h["Cache-Status"] = values[3:4:4]
}

// settled returns d without contradictions.
func (d Decision) settled() Decision {
	if d.Outer == NotAsked {
		d.Outer = TierPass
	}
	if d.Use == Bypass {
		d.Outer = TierPass
		if d.Shield != NotAsked {
			d.Shield = TierPass
		}
		d.Collapsed, d.HasTTL = false, false
		if d.Forward == "" {
			d.Forward = ForwardBypass
		}
	}
	hit := d.Outer == TierHit || d.Shield == TierHit
	cached := d.Outer == TierCached || d.Shield == TierCached
	switch {
	case d.Use == Bypass:
	case !hit:
		d.Use = Miss
	case d.Use != Stale && (d.Use != Miss || d.Forward == ""):
		d.Use = Hit // a miss may still be a hit that the origin had to validate
	}
	switch {
	case hit || cached:
		d.Status = StatusOK
	case d.Status == "" || d.Status == StatusOK:
		d.Status = StatusPass
	}
	return d
}

// appendStatus renders the members, that of the tier nearest to the origin first.
func (d *Decision) appendStatus(out []byte, origin []string, region string) []byte {
	if kept := strings.Join(origin, ", "); len(kept) <= maxOriginStatus && validList(kept) {
		out = append(append(out, kept...), ", "...)
	}
	if d.Shield != NotAsked {
		out = append(out, "weir-shield"...)
		out = append(d.appendMember(out, d.Shield, true), ", "...)
	}
	out = appendName(out, "weir-"+region)
	out = d.appendMember(out, d.Outer, d.Shield == NotAsked)
	if d.Detail != "" {
		out = appendName(append(out, "; detail="...), d.Detail)
	}
	return out
}

// appendMember renders the parameters of one tier. nearest says that no other tier
// stands between it and the origin: what the origin did is told there.
func (d *Decision) appendMember(out []byte, use TierUse, nearest bool) []byte {
	if use == TierHit && (d.Forward == "" || !nearest && d.Shield == TierHit) {
		out = append(out, "; hit"...)
	} else {
		forward := d.Forward
		if !nearest && d.OuterForward != "" {
			forward = d.OuterForward
		}
		if forward == "" {
			forward = ForwardMiss
		}
		out = append(append(out, "; fwd="...), forward...)
		if nearest && d.ForwardStatus >= 100 && d.ForwardStatus <= 999 {
			out = strconv.AppendInt(append(out, "; fwd-status="...), int64(d.ForwardStatus), 10)
		}
	}
	if use == TierHit && d.HasTTL {
		ttl := d.TTL / time.Second
		if d.TTL < ttl*time.Second {
			ttl-- // half a second stale is stale
		}
		out = strconv.AppendInt(append(out, "; ttl="...), int64(ttl), 10)
	}
	if use == TierCached || d.Use == Bypass && d.Stored && nearest { // an answer to a POST can be a GET's, too
		out = append(out, "; stored"...)
	}
	if nearest && d.Collapsed && use != TierHit {
		out = append(out, "; collapsed"...)
	}
	return out
}

// appendName appends s as a Token if it can be one, and otherwise as a String, RFC 9651 3.3.
// What neither can hold becomes "?".
func appendName(out []byte, s string) []byte {
	if isSFToken(s) {
		return append(out, s...)
	}
	out = append(out, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < 0x20 || c > 0x7e:
			out = append(out, '?')
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
