package shield

import (
	"iter"
	"slices"

	"weir/keying"
	"weir/rfc9111"
)

// limits bound what is remembered exactly.
type limits struct {
	digests  int // of each kind of rule
	prefixes int
	recent   int // rules that are kept in order for those who follow
	owed     int // rules that a follower hands over one by one
}

var usualLimits = limits{digests: 1 << 17, prefixes: maxPrefixes, recent: 1 << 13, owed: 1 << 12}

// A ruleSet says what rules name, with the epoch of the latest of each. Who has it
// guards it.
type ruleSet struct {
	urls     book
	keys     book
	hosts    book
	prefixes prefixBook
	names    book   // of tags and groups
	origins  book   // of groups
	anyone   uint64 // latest rule about a name that any origin may have
	floor    uint64 // latest rule about all responses
	last     uint64 // latest of all
}

func newRuleSet(l limits) *ruleSet {
	return &ruleSet{
		urls: newBook(l.digests), keys: newBook(l.digests), hosts: newBook(l.digests),
		prefixes: newPrefixBook(l.prefixes),
		names:    newBook(l.digests), origins: newBook(l.digests),
	}
}

// put adds r and returns what it came to: where there is no room for another prefix, its
// whole host is named. So too much is purged rather than too little.
func (s *ruleSet) put(epoch uint64, r Rule) Rule {
	var origin, prefix string
	if r.kind == rulePrefix {
		origin, prefix, _ = keying.CutOrigin(r.text)
		if s.prefixes.full(origin, prefix) {
			host := HostRule(keying.HostOf(origin))
			r.kind, r.text = host.kind, host.text
		}
	}
	if epoch <= s.floor && r.kind != ruleName && r.kind != ruleNameSlot {
		return r
	}
	s.last = max(s.last, epoch)
	switch r.kind {
	case ruleURL:
		s.urls.put(r.digest(), epoch)
	case ruleURLSlot:
		s.urls.putSlot(slot([]byte(r.text)), epoch)
	case ruleKey:
		s.keys.put(r.digest(), epoch)
	case ruleKeySlot:
		s.keys.putSlot(slot([]byte(r.text)), epoch)
	case rulePrefix:
		s.prefixes.put(origin, prefix, epoch)
	case ruleHost:
		host := r.digest()
		s.hosts.put(host, epoch)
		s.prefixes.forget(epoch, &host)
	case ruleHostSlot:
		s.hosts.putSlot(slot([]byte(r.text)), epoch)
	case ruleName:
		s.names.put(r.digest(), epoch)
		if r.origin != "" {
			s.origins.put(originName(r.origin), epoch)
			break
		}
		s.anyone = max(s.anyone, epoch)
	case ruleNameSlot:
		s.names.putSlot(slot([]byte(r.text)), epoch)
		s.anyone = max(s.anyone, epoch)
	case ruleAll:
		s.floor = epoch
		s.forget(epoch)
	}
	return r
}

// forget drops what came no later than an epoch, but for names: values have them too.
func (s *ruleSet) forget(epoch uint64) {
	for _, b := range []*book{&s.urls, &s.keys, &s.hosts, &s.origins} {
		b.forget(epoch)
	}
	s.prefixes.forget(epoch, nil)
}

// concerns says whether a rule that is newer than an epoch names resp under key. Of what
// is still to come resp is nil, and the rules count that name its key. What no rule
// names costs no more than as many comparisons as there are kinds of rules.
func (s *ruleSet) concerns(key keying.Key, resp *rfc9111.Response, epoch uint64) bool {
	return epoch < s.last && (epoch < s.floor ||
		epoch < s.urls.last && epoch < s.urls.latest(key.Base()) ||
		epoch < s.keys.last && epoch < max(s.keys.latest(key.Digest()), s.keys.latest(key.Whole())) ||
		epoch < s.hosts.last && epoch < s.hosts.latest(hostName(keying.HostOf(key.Origin()))) ||
		epoch < s.prefixes.last && epoch < s.prefixes.latest(key) ||
		epoch < s.names.last && s.named(key, resp, epoch))
}

// named says whether a rule that is newer than an epoch names a tag or a group of resp,
// or may do so because not all of them are known.
func (s *ruleSet) named(key keying.Key, resp *rfc9111.Response, epoch uint64) bool {
	if resp == nil {
		return false
	}
	if slices.Contains(resp.Tags, rfc9111.AnyTag) {
		return epoch < s.anyone || epoch < s.origins.latest(originName(key.Origin()))
	}
	for _, tag := range resp.Tags {
		if epoch < s.names.latest(tagName(tag)) {
			return true
		}
	}
	if resp.Header["Cache-Groups"] == nil {
		return false
	}
	origin := key.Origin()
	if epoch >= s.origins.latest(originName(origin)) && epoch >= s.anyone {
		return false
	}
	groups := rfc9111.CacheGroups(resp.Header)
	for _, group := range groups {
		if epoch < s.names.latest(groupName(origin, group)) {
			return true
		}
	}
	return len(groups) > 0 && epoch < s.names.latest(groupName(origin, ""))
}

func (s *ruleSet) len() int {
	return s.urls.len() + s.keys.len() + s.hosts.len() + s.prefixes.count + s.names.len()
}

func (s *ruleSet) clone() *ruleSet {
	c := *s
	for _, b := range []*book{&c.urls, &c.keys, &c.hosts, &c.names, &c.origins} {
		*b = b.clone()
	}
	c.prefixes = s.prefixes.clone()
	return &c
}

// rules lists what is in force.
func (s *ruleSet) rules() iter.Seq2[uint64, Rule] {
	return func(yield func(uint64, Rule) bool) {
		if s.floor > 0 && !yield(s.floor, AllRule()) {
			return
		}
		for _, rules := range []iter.Seq2[uint64, Rule]{
			s.urls.rules(ruleURL, ruleURLSlot), s.keys.rules(ruleKey, ruleKeySlot),
			s.hosts.rules(ruleHost, ruleHostSlot), s.prefixes.rules(), s.names.rules(ruleName, ruleNameSlot),
		} {
			for epoch, r := range rules {
				if !yield(epoch, r) {
					return
				}
			}
		}
	}
}

// sets are all that is in force.
type sets struct {
	hard, soft *ruleSet
	values     *valueSet
}

func newSets(l limits) sets {
	return sets{hard: newRuleSet(l), soft: newRuleSet(l), values: newValueSet(l)}
}

// put adds r and returns what it came to.
func (s sets) put(epoch uint64, r Rule) Rule {
	switch {
	case r.ofValues():
		s.values.put(epoch, r)
		return r
	case r.soft:
		return s.soft.put(epoch, r)
	case r.kind == ruleAll:
		s.soft.forget(epoch)
	}
	return s.hard.put(epoch, r)
}

func (s sets) putAll(rules []DatedRule) {
	for _, d := range rules {
		s.put(d.Epoch, d.Rule)
	}
}

// putEverything names all that there is at an epoch.
func (s sets) putEverything(epoch uint64) {
	s.put(epoch, AllRule())
	s.put(epoch, Rule{kind: ruleTagged})
}

func (s sets) clone() sets {
	return sets{hard: s.hard.clone(), soft: s.soft.clone(), values: s.values.clone()}
}

func (s sets) rules() iter.Seq2[uint64, Rule] {
	return func(yield func(uint64, Rule) bool) {
		for epoch, r := range s.hard.rules() {
			if !yield(epoch, r) {
				return
			}
		}
		for epoch, r := range s.soft.rules() {
			if !yield(epoch, r.Soft()) {
				return
			}
		}
		s.values.rules()(yield)
	}
}
