package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"weir/api"
	"weir/l1"
	"weir/l2"
	"weir/shield"
)

var (
	requests  = counter("requests_total", "Requests by x-cache, route and class of status; route is empty for refused requests.", "use", "route", "class")
	reasons   = counter("caching_status_total", "Requests by x-caching-status.", "status")
	durations = prometheus.NewDesc("weir_request_duration_seconds", "Time from a request's head to the end of its response, by x-cache.", []string{"use"}, nil)
	active    = gauge("requests_active", "Requests in progress.")
	upgrades  = gauge("upgrades_active", "Upgraded connections open.")
	sent      = counter("response_body_bytes_total", "Bytes of bodies sent to clients.")
	aborted   = counter("responses_aborted_total", "Responses that did not go out whole.")
)

func (out sink) door(s api.DoorStats) {
	for _, r := range s.Requests {
		send(out, requests, r.Count, string(r.Use), r.Route, r.Class)
	}
	for status, n := range s.Reasons {
		send(out, reasons, n, string(status))
	}
	for use, h := range s.Durations {
		buckets, total := make(map[float64]uint64, len(h.Bounds)), uint64(0)
		for i, bound := range h.Bounds {
			total += h.Counts[i]
			buckets[bound] = total
		}
		out <- prometheus.MustNewConstHistogram(durations, h.Total(), h.Sum, buckets, string(use))
	}
	send(out, active, s.Active)
	send(out, upgrades, s.Upgrades)
	send(out, sent, s.BytesSent)
	send(out, aborted, s.Aborted)
}

var (
	tierBytes     = gauge("tier_bytes", "Bytes of objects held, by tier.", "tier")
	tierObjects   = gauge("tier_objects", "Objects held, by tier.", "tier")
	tierEvictions = counter("tier_evictions_total", "Objects that made room for others, by tier.", "tier")
	tierLookups   = counter("tier_lookups_total", "Look-ups, by tier and result.", "tier", "result")
	tierStores    = counter("tier_stores_total", "Objects stored or refused, by tier and result.", "tier", "result")
	codings       = counter("l1_codings_total", "Coded bodies made for clients.")
)

func (out sink) l1(s l1.Stats) {
	send(out, tierBytes, s.Bytes, "l1")
	send(out, tierObjects, s.Objects, "l1")
	send(out, tierEvictions, s.Evictions, "l1")
	send(out, tierLookups, s.Hits, "l1", "hit")
	send(out, tierLookups, s.Stale, "l1", "stale")
	send(out, tierLookups, s.Misses, "l1", "miss")
	send(out, tierStores, s.Stores, "l1", "stored")
	send(out, tierStores, s.Rejected, "l1", "refused")
	send(out, codings, s.Codings)
	send(out, blind, s.Blind)
}

var (
	segments        = gauge("l2_segments", "Segment files.")
	segmentsDropped = counter("l2_segments_dropped_total", "Segment files dropped to make room.")
	carried         = counter("l2_carried_over_total", "Objects copied out of a segment before it was dropped.")
	damaged         = counter("l2_damaged_total", "Records and segments that did not check out.")
	failures        = counter("l2_write_failures_total", "Groups and segments that could not be written.")
	commits         = counter("l2_commits_total", "Group commits.")
	disk            = gauge("l2_disk_bytes", "What the data folder takes up.")
	budget          = gauge("l2_budget_bytes", "What the data folder may take up, give or take a segment.")
	stalled         = gauge("l2_stalled", "1 while nothing can be stored.")
)

func (out sink) l2(s l2.Stats) {
	send(out, tierBytes, s.Bytes, "l2")
	send(out, tierObjects, s.Objects, "l2")
	send(out, tierEvictions, s.Dropped, "l2")
	send(out, tierLookups, s.Hits, "l2", "hit")
	send(out, tierLookups, s.Misses, "l2", "miss")
	send(out, tierStores, s.Stored, "l2", "stored")
	send(out, tierStores, s.Refused, "l2", "refused")
	send(out, segments, s.Segments)
	send(out, segmentsDropped, s.SegmentsDropped)
	send(out, carried, s.CarriedOver)
	send(out, damaged, s.Damaged)
	send(out, failures, s.Failures)
	send(out, commits, s.Commits)
	send(out, disk, s.Disk)
	send(out, budget, s.Budget)
	send(out, stalled, truth(s.Stalled))
}

var (
	flights        = gauge("flights", "Fetches running.")
	flightsMost    = gauge("flights_most", "Most fetches running at any time.")
	waiters        = gauge("flight_waiters", "Clients that wait for a response head.")
	streamBytes    = gauge("stream_bytes", "Bytes in memory of bodies on their way.")
	answers        = counter("shield_answers_total", "Requests that the shield answered, by how.", "how")
	refreshes      = counter("refreshes_total", "Background refreshes started.")
	validated      = counter("validated_total", "Stored responses that a 304 freshened.")
	fills          = counter("fills_total", "Bodies fetched whole, by result.", "result")
	resumes        = counter("resumes_total", "Bodies cut off in the middle that went on there with a range request.")
	sliced         = counter("sliced_answers_total", "Answers put together of slices.")
	slicesChanged  = counter("sliced_answers_changed_total", "Answers in slices that met another version in the middle.")
	uncacheable    = gauge("hit_for_pass_keys", "Keys remembered as uncacheable.")
	purgeRules     = gauge("purge_rules", "Purge rules in force.")
	invalidations  = counter("invalidations_total", "Purge rules made by unsafe methods.")
	originAll      = counter("origin_requests_sent_total", "Requests sent to origins, retries included.")
	originRetries  = counter("origin_retries_total", "Requests sent again to another upstream.")
	originRequests = counter("origin_requests_total", "Requests sent, by origin and upstream of the policy in force.", "origin", "upstream")
	originUp       = gauge("origin_up", "1 while an upstream is taken for healthy.", "origin", "upstream")
	originErrors   = counter("origin_errors_total", "Fetches that failed, by outcome.", "outcome")
)

func (out sink) shield(s shield.Stats) {
	send(out, flights, s.Flights)
	send(out, flightsMost, s.MaxFlights)
	send(out, waiters, s.Waiters)
	send(out, streamBytes, s.StreamBytes)
	for how, n := range map[string]int64{
		"hit": s.Hits, "stale": s.StaleHits, "stale-on-error": s.StaleOnError,
		"collapsed": s.Collapsed, "passed": s.Passed, "hit-for-pass": s.HitForPass,
	} {
		send(out, answers, n, how)
	}
	send(out, refreshes, s.Refreshes)
	send(out, validated, s.Validated)
	send(out, fills, s.Filled, "filled")
	send(out, fills, s.NotStored, "not-stored")
	send(out, resumes, s.Resumed)
	send(out, sliced, s.Sliced)
	send(out, slicesChanged, s.Changed)
	send(out, uncacheable, s.Uncacheable)
	send(out, purgeRules, s.Rules)
	send(out, fallbacks, s.Fallbacks)
	send(out, invalidations, s.Invalidations)
	send(out, originAll, s.OriginRequests)
	send(out, originRetries, s.Retries)
	for _, u := range s.Upstreams {
		send(out, originRequests, u.Requests, u.Origin, u.URL)
		send(out, originUp, truth(u.Up), u.Origin, u.URL)
	}
	for outcome, n := range map[string]int64{
		"unreachable": s.Errors.Unreachable, "timeout": s.Errors.Timeout, "protocol": s.Errors.Protocol,
		"truncated": s.Errors.Truncated, "overloaded": s.Errors.Overloaded, "stalled": s.Errors.Stalled,
		"panic": s.Errors.Panic, "store": s.Errors.Store,
	} {
		send(out, originErrors, n, outcome)
	}
}

var (
	policies      = counter("policy_reloads_total", "Policy files after the first, by result.", "result")
	policyVersion = gauge("policy_info", "1, with the version of the policy in force.", "version")
)

func (out sink) policy(s PolicyStats) {
	send(out, policies, s.Accepted, "accepted")
	send(out, policies, s.Rejected, "rejected")
	send(out, policyVersion, 1, s.Version)
}
