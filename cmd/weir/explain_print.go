package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"weir/api"
	"weir/rfc9111"
)

// explanationPrinter writes an explanation for people: a column of what it is about, and
// what there is to say.
type explanationPrinter struct {
	tabs *tabwriter.Writer
	all  bool // rules and routes that say nothing, too
}

func printExplanation(w io.Writer, x *api.Explanation, all bool) error {
	p := explanationPrinter{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), all}
	p.line("request", x.Request.Method+" "+x.Request.URL)
	if len(x.Request.Headers) > 0 {
		p.line("", "with "+strings.Join(x.Request.Headers, ", "))
	}
	p.answer(x)
	p.route(x)
	p.key(x.Key)
	p.tier("memory", x.Memory)
	p.tier("shield", x.Shield)
	if f := x.Fetched; f != nil {
		p.line("origin", "answered with status "+strconv.Itoa(f.Status))
		for _, name := range []string{"Cache-Control", "Weir-Cache-Control", "Cdn-Cache-Control", "Expires", "Age", "Vary", "Etag", "Last-Modified"} {
			if f.Header[name] != nil {
				p.line("", "  "+strings.ToLower(name)+": "+strings.Join(f.Header[name], ", "))
			}
		}
	}
	p.storing(x.Storing)
	for i, advice := range x.Advice {
		p.line(first(i, "advice"), advice)
	}
	return p.tabs.Flush()
}

func (p explanationPrinter) line(about, text string) {
	fmt.Fprintf(p.tabs, "%s\t%s\n", about, text) // Flush has the error
}

func first(i int, about string) string {
	if i > 0 {
		return ""
	}
	return about
}

func (p explanationPrinter) answer(x *api.Explanation) {
	n := &x.Now
	what := string(n.XCache)
	if n.Status > 0 {
		what += ", status " + strconv.Itoa(n.Status)
	}
	if !n.Known {
		what += ", the origin is asked"
		if x.ShieldNow != nil || n.Forward == "" {
			what = string(n.XCache) + ", the shield is asked"
		}
	}
	p.line("now", what)
	field := func(name, value string) {
		if value != "" {
			p.line("", "  "+name+": "+value)
		}
	}
	if s := x.ShieldNow; s != nil {
		field("the shield", shieldAnswer(s))
	}
	field("x-cache-tier", n.XCacheTier)
	field("x-caching-status", string(n.CachingStatus))
	field("cache-status", n.CacheStatus)
	if !n.Known && n.CacheStatus == "" {
		field("fwd", string(n.Forward))
		field("fwd of memory", string(n.OuterForward))
		field("detail", n.Detail)
	}
	field("if the origin fails", n.IfOriginFails)
	if r := x.Refused; r != nil {
		p.line("", "  "+r.Code+": "+r.Message+" "+r.Hint)
	}
}

// shieldAnswer is what a shield would answer, in words.
func shieldAnswer(s *api.ShieldAnswer) string {
	switch {
	case s.Refused != nil:
		return s.Refused.Code + ": " + s.Refused.Message
	case !s.Known:
		return string(s.Use) + ", the origin is asked"
	}
	return string(s.Use) + ", status " + strconv.Itoa(s.Status)
}

func (p explanationPrinter) route(x *api.Explanation) {
	if x.Route == nil {
		return
	}
	text := x.Route.Name
	if x.Route.Destination != "" {
		text += ", side " + x.Route.Destination + " of its split test"
	}
	p.line("route", text+", origin "+x.Route.Origin)
	for i, s := range x.Route.Skipped {
		if i == someRoutes && !p.all {
			p.line("", fmt.Sprintf("  nor %d others before it", len(x.Route.Skipped)-i))
			break
		}
		p.line("", "  not "+s.Route+": "+s.Says)
	}
	text = "may use the caches"
	if slices.ContainsFunc(x.Admission, func(f rfc9111.Finding) bool { return f.Holds }) {
		text = "keeps it from the caches"
	}
	p.line("door", text)
	p.findings(x.Admission)
}

const someRoutes = 10

// findings prints rules that hold, or all with what they came to.
func (p explanationPrinter) findings(findings []rfc9111.Finding) {
	for _, f := range findings {
		switch {
		case f.Holds:
			p.line("", "  yes  "+f.Says)
		case p.all:
			p.line("", "  no   "+f.Says)
		}
	}
}

func (p explanationPrinter) key(k *api.BuiltKey) {
	if k == nil {
		return
	}
	p.line("key", k.Digest)
	for _, part := range k.Parts {
		name := part.Kind
		if part.Name != "" {
			name += " " + part.Name
		}
		value := strconv.Quote(part.Value)
		if part.Form != "value" {
			value = strings.TrimSpace(part.Form + " " + part.Value)
		}
		p.line("", "  "+name+": "+value)
	}
	if k.OriginalQuery != nil {
		p.line("", "  forwarded as "+k.Target)
	}
}

func (p explanationPrinter) tier(about string, t *api.HeldTier) {
	if t == nil {
		return
	}
	var said []string
	for _, s := range []struct {
		is   bool
		says string
	}{
		{t.Note != "", t.Note},
		{t.Note == "" && len(t.Stored) == 0, "nothing stored"},
		{t.HitForPass, "not cacheable a short while ago: hit-for-pass"},
		{t.OriginFailing, "the origin failed a moment ago"},
		{t.Fetching, "a fetch is under way, which a request would join"},
	} {
		if s.is {
			said = append(said, s.says)
		}
	}
	for _, o := range t.Stored {
		said = append(said, describeHeld(&o)...)
	}
	for i, text := range said {
		p.line(first(i, about), text)
	}
}

// describeHeld describes a stored response in two or three lines.
func describeHeld(o *api.HeldObject) []string {
	what := []string{"status " + strconv.Itoa(o.Status), strconv.FormatInt(o.Length, 10) + " bytes"}
	if o.Coding != "" {
		what = append(what, o.Coding)
	}
	if o.Partial {
		what = append(what, "not the whole")
	}
	what = append(what, "age "+secs(o.Age), "ttl "+secs(o.TTL)+" of "+secs(o.Lifetime))
	if o.Revalidate > 0 {
		what = append(what, "stale-while-revalidate "+secs(o.Revalidate))
	}
	if o.IfError > 0 {
		what = append(what, "stale-if-error "+secs(o.IfError))
	}
	if len(o.Tags) > 0 {
		what = append(what, "tags "+strings.Join(o.Tags, " "))
	}
	lines := []string{strings.Join(append(what, "epoch "+strconv.FormatUint(o.Epoch, 10)), ", ")}
	for _, name := range slices.Sorted(maps.Keys(o.Vary)) {
		lines = append(lines, "  vary "+strings.ToLower(name)+": "+o.Vary[name])
	}
	for _, s := range []struct {
		is   bool
		says string
	}{
		{!o.Selected, "another variant than the request's"},
		{o.Purged, "a purge forbids its use"},
		{o.Softened, "a soft purge has made it stale"},
		{o.Unsure, "purges may have been missed since"},
	} {
		if s.is {
			lines = append(lines, "  "+s.says)
		}
	}
	return append(lines, "  "+o.Reuse+": "+o.Reason)
}

func secs(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) + " s" }

// storing prints the rules for what was fetched, or else what is stored, or else for the best answer.
func (p explanationPrinter) storing(all []api.StoringVerdict) {
	if len(all) == 0 {
		return
	}
	v := all[len(all)-1]
	what := map[string]string{
		"request": "the best answer that there could be", "stored": "what is stored, by the policy in force", "fetched": "what the origin answered",
	}[v.Of]
	p.line("storing", string(v.Status)+": "+what)
	p.findings(v.Findings)
}
