package rfc9111

import (
	"math"
	"strings"
	"time"
)

// initialAge is the corrected_initial_age of RFC 9111 4.2.3.
func initialAge(resp *Response) time.Duration {
	var apparent time.Duration
	if date, ok := fieldTime(resp.Header, "Date"); ok {
		// Date has whole seconds, so the arrival is compared in whole seconds.
		apparent = resp.ResponseTime.Truncate(time.Second).Sub(date)
	}
	delay := max(resp.ResponseTime.Sub(resp.RequestTime), 0)
	return max(apparent, saturatingAdd(receivedAge(resp), delay), 0)
}

// receivedAge is the age_value of RFC 9111 5.1: the first member of the Age field,
// and nothing when that is not a number. Parameters behind it are forgotten, as those
// of any Item are.
func receivedAge(resp *Response) time.Duration {
	lines := resp.Header["Age"]
	if len(lines) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(lines[0], ",")
	number, _, _ := strings.Cut(first, ";")
	age, _ := parseSeconds(trimOWS(number))
	return age
}

// Age is the current_age of RFC 9111 4.2.3, whole seconds not rounded.
func (r *Response) Age(now time.Time) time.Duration {
	return saturatingAdd(r.Terms.InitialAge, max(now.Sub(r.ResponseTime), 0))
}

// TTL is what is left of the freshness lifetime at now; negative once stale.
func (r *Response) TTL(now time.Time) time.Duration {
	return r.Terms.Lifetime - r.Age(now)
}

// StaleSince is when r has to be looked at, instead of at now, to find it just gone stale:
// at the end of its freshness lifetime, and at now where that is over. It is for what was
// declared stale before its time. It can be used in its stale windows then, but not
// longer than if it had gone stale by itself.
func (r *Response) StaleSince(now time.Time) time.Time {
	return now.Add(max(r.TTL(now), 0))
}

// saturatingAdd adds two durations that are not negative.
func saturatingAdd(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
