package shield

import (
	"fmt"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// Census is what a [Store] may have beside, for those who want to know what is stored.
type Census interface {
	// Objects is how many are stored, about.
	Objects() int
	// Heads calls visit for each stored object until that is false, in any order. Objects
	// that come or go meanwhile are visited or not. It does not count as a use, holds no
	// lock while it calls visit, and leaves out what cannot be read.
	Heads(visit func(key keying.Key, head *rfc9111.Response) bool) error
	// Variants are the heads of what is stored under key, the newest first. It does not
	// count as a use, and leaves out what cannot be read.
	Variants(key keying.Key) []*rfc9111.Response
}

// maxCounted is how much may be in the way of counting what a purge has matched: objects
// that are stored, and rules in force before it.
const maxCounted = 10_000

// Purge carries out an order, or says with an [ErrOrder] why it cannot. t says what keys
// URLs have.
//
// A dry run counts the stored objects that could be used so far and that the order names.
// A real purge counts them when it is in force and durable, because counting reads every
// head that is stored: nothing waits for that but the report. With more than 10,000
// objects, or 10,000 rules in force, it does not count at all and leaves Matched out. Who
// knows the regions adds them to the report.
func (s *Shield) Purge(t *policy.Table, o PurgeOrder) (PurgeReport, error) {
	rules, err := Rules(t, o)
	if err != nil {
		return PurgeReport{}, err
	}
	report := PurgeReport{Regions: []RegionReport{}, Pending: []string{}}
	census, _ := s.store.(Census)
	if o.DryRun {
		report.Epoch = s.purges.Current()
		report.Matched, err = s.count(census, rules, s.purges.Purged)
		return report, err
	}
	var before func(keying.Key, *rfc9111.Response) bool
	if census != nil && census.Objects() <= maxCounted && s.purges.ofResponses() <= maxCounted {
		before = s.purges.verdicts()
	} else {
		census = nil
	}
	if report.Epoch, err = s.purges.Add(rules...); err != nil {
		return report, err
	}
	report.Durable = time.Now()
	matched, err := s.count(census, rules, before)
	if err != nil {
		s.report(err) // the purge holds all the same
	}
	report.Matched = matched
	return report, nil
}

// count says how many stored objects rules name of those that were not gone before. It
// is nil without a census.
func (s *Shield) count(census Census, rules []Rule, gone func(keying.Key, *rfc9111.Response) bool) (*int64, error) {
	if census == nil {
		return nil, nil
	}
	named := newRuleSet(usualLimits)
	for _, r := range rules {
		named.put(^uint64(0), r)
	}
	n := int64(0)
	err := census.Heads(func(key keying.Key, head *rfc9111.Response) bool {
		if named.concerns(key, head, head.Epoch) && !gone(key, head) {
			n++
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("%w: count: %w", ErrStore, err)
	}
	return &n, nil
}

// verdicts is Purged as it is now.
func (p *Purges) verdicts() func(keying.Key, *rfc9111.Response) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	current, hard := p.current.Load(), p.hard.clone()
	return func(key keying.Key, resp *rfc9111.Response) bool {
		return resp.Epoch > current || hard.concerns(key, resp, resp.Epoch)
	}
}
