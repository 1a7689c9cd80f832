package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"weir/api"
	"weir/shield"
)

// purger remembers orders, and answers as a log would.
type purger struct {
	mu     sync.Mutex
	orders []shield.PurgeOrder
	epoch  uint64
	err    error
}

func (p *purger) purge(_ context.Context, o shield.PurgeOrder) (shield.PurgeReport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := shield.Rules(nil, o); err != nil {
		return shield.PurgeReport{}, err
	}
	p.orders = append(p.orders, o)
	p.epoch++
	return shield.PurgeReport{Epoch: p.epoch}, p.err
}

func (p *purger) asked() []shield.PurgeOrder {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.orders
}

func order(t *testing.T, p *purger, body string, fields ...string) *http.Response {
	t.Helper()
	opts := adminOptions()
	opts.Purge = p.purge
	return postOrder(t, opts, body, fields...)
}

func postOrder(t *testing.T, opts api.AdminOptions, body string, fields ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("POST", "http://127.0.0.1:8081/v1/purge", strings.NewReader(body))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	api.NewAdmin(opts).ServeHTTP(w, r)
	return w.Result()
}

func TestPurgeOrders(t *testing.T) {
	const key = "00112233445566778899aabbccddeeff"
	for body, want := range map[string]shield.PurgeOrder{
		`{"tags":["a","b"]}`:                       {Tags: []string{"a", "b"}},
		`{"urls":["http://a.test/x?y=1"]}`:         {URLs: []string{"http://a.test/x?y=1"}},
		`{"prefixes":["https://a.test/x"]}`:        {Prefixes: []string{"https://a.test/x"}},
		`{"hosts":["a.test:8080"]}`:                {Hosts: []string{"a.test:8080"}},
		`{"keys":["` + key + `"]}`:                 {Keys: []string{key}},
		` {"all":true,"soft":true}` + "\n":         {All: true, Soft: true},
		`{"all":true,"tags":[],"dryRun":true}`:     {Tags: []string{}, All: true, DryRun: true},
		`{"tags":["\u00e9"],"hosts":["\u0061.b"]}`: {Tags: []string{"é"}, Hosts: []string{"a.b"}},
	} {
		p := &purger{epoch: 40}
		wantJSON(t, order(t, p, body), 200, `{"epoch":41,"pending":[],"regions":[]}`)
		if got := p.asked(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
}

func TestPurgeReport(t *testing.T) {
	opts := adminOptions()
	matched := int64(128)
	opts.Purge = func(context.Context, shield.PurgeOrder) (shield.PurgeReport, error) {
		return shield.PurgeReport{
			Epoch: 41, Matched: &matched, Regions: []shield.RegionReport{{Region: "fra", AppliedMs: 12}}, Pending: []string{"lhr"},
		}, nil
	}
	wantJSON(t, postOrder(t, opts, `{"all":true}`), 200,
		`{"epoch":41,"matched":128,"pending":["lhr"],"regions":[{"appliedMs":12,"region":"fra"}]}`)
}

func TestBadPurgeOrders(t *testing.T) {
	for name, c := range map[string]struct{ body, says string }{
		"nothing":             {``, "no JSON object"},
		"nothing named":       {`{}`, "it names nothing"},
		"no object":           {`["a"]`, "no JSON object"},
		"a string":            {`"all"`, "no JSON object"},
		"null":                {`null`, "no JSON object"},
		"form":                {`all=true`, "no JSON object"},
		"cut short":           {`{"tags":["a"`, "no valid JSON"},
		"object cut short":    {`{"tags":["a"]`, "no valid JSON"},
		"two objects":         {`{"all":true}{"all":true}`, "more after the object"},
		"garbage behind":      {`{"all":true} x`, "more after the object"},
		"unknown field":       {`{"all":true,"purge":"x"}`, `\"purge\" is no field`},
		"other case":          {`{"All":true}`, `\"All\" is no field`},
		"field twice":         {`{"tags":["a"],"tags":["b"]}`, "tags stands twice"},
		"twice by escape":     {`{"tags":["a"],"t\u0061gs":["b"]}`, "tags stands twice"},
		"tag as string":       {`{"tags":"a"}`, "tags must be a list of strings"},
		"tag as number":       {`{"tags":[1]}`, "tags must be a list of strings"},
		"tag as null":         {`{"tags":["a",null]}`, "tags must be a list of strings"},
		"tags as null":        {`{"tags":null,"all":true}`, "tags must be a list of strings"},
		"all as string":       {`{"all":"true"}`, "all must be true or false"},
		"dry run as null":     {`{"all":true,"dryRun":null}`, "dryRun must be true or false"},
		"dry run as number":   {`{"all":true,"dryRun":0}`, "dryRun must be true or false"},
		"all false":           {`{"all":false}`, "it names nothing"},
		"all and more":        {`{"all":true,"tags":["a"]}`, "all is given together with names"},
		"empty tag":           {`{"tags":["a",""]}`, "tags[1]"},
		"tag with a control":  {`{"tags":["a\n"]}`, "control bytes"},
		"long tag":            {`{"tags":["` + strings.Repeat("a", 257) + `"]}`, "257 bytes"},
		"relative URL":        {`{"urls":["/x"]}`, "no absolute URL"},
		"other scheme":        {`{"urls":["ftp://a.test/"]}`, "no absolute URL"},
		"URL without a host":  {`{"urls":["http:///x"]}`, "no valid host"},
		"URL with a fragment": {`{"urls":["http://a.test/#x"]}`, "fragment"},
		"URL with a user":     {`{"urls":["http://u:p@a.test/"]}`, "user"},
		"URL with a space":    {`{"urls":["http://a.test/a b"]}`, "0x20"},
		"long URL":            {`{"urls":["http://a.test/` + strings.Repeat("a", 9000) + `"]}`, "at most 8192"},
		"host with a path":    {`{"hosts":["a.test/x"]}`, "no host"},
		"empty host":          {`{"hosts":[""]}`, "no host"},
		"short key":           {`{"keys":["0011"]}`, "no key"},
		"key that is no hex":  {`{"keys":["` + strings.Repeat("x", 32) + `"]}`, "no key"},
		"100,000 tags":        {`{"tags":["` + strings.Repeat(`t","`, 99_999) + `t"]}`, "100000 names"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &purger{}
			resp := order(t, p, c.body)
			body := bodyOf(t, resp)
			if resp.StatusCode != 400 || !strings.Contains(body, `"code":"bad-purge"`) || !strings.Contains(body, c.says) || !strings.Contains(body, "Nothing was purged: ") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if len(p.asked()) != 0 {
				t.Error("something was purged")
			}
			if len(body) > 1000 {
				t.Errorf("an error of %d bytes", len(body))
			}
		})
	}
}

func TestHugePurge(t *testing.T) {
	p := &purger{}
	resp := order(t, p, `{"tags":["`+strings.Repeat("a", 1<<20)+`"]}`)
	if body := bodyOf(t, resp); resp.StatusCode != 413 || !strings.Contains(body, `"body-too-large"`) || !strings.Contains(body, "several") || len(p.asked()) != 0 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestPurgeFailures(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("%w: disk full", shield.ErrLog), 503, "purge-not-durable"},
		{fmt.Errorf("%w: dial", shield.ErrParent), 503, "shield-unreachable"},
		{shield.ErrClosed, 503, "closing"},
		{context.DeadlineExceeded, 504, "timeout"},
		{errors.New("secret"), 500, "internal"},
	} {
		resp := order(t, &purger{err: c.err}, `{"all":true}`)
		if body := bodyOf(t, resp); resp.StatusCode != c.status || !strings.Contains(body, `"code":"`+c.code+`"`) || strings.Contains(body, "secret") {
			t.Errorf("%v: %d %s", c.err, resp.StatusCode, body)
		}
	}
}

func TestWhoMayPurge(t *testing.T) {
	for _, c := range []struct {
		name, token string
		fields      []string
		status      int
	}{
		{"no token needed on loopback", "", nil, 200},
		{"a page of another site", "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"a page, by its origin", "", []string{"Origin: http://evil.test"}, 403},
		{"missing", "s3cret", nil, 401},
		{"wrong", "s3cret", []string{"Authorization: Bearer s3creT"}, 401},
		{"right", "s3cret", []string{"Authorization: Bearer s3cret"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, opts := &purger{}, adminOptions()
			opts.Purge, opts.Token = p.purge, c.token
			resp := postOrder(t, opts, `{"all":true}`, c.fields...)
			if resp.StatusCode != c.status || (len(p.asked()) == 1) != (c.status == 200) {
				t.Errorf("status %d, %d purges", resp.StatusCode, len(p.asked()))
			}
		})
	}
	if resp := call(t, adminOptions(), "GET /v1/purge"); resp.StatusCode != 404 {
		t.Errorf("without a way to purge: %d", resp.StatusCode)
	}
	opts := adminOptions()
	opts.Purge = new(purger).purge
	if resp := call(t, opts, "GET /v1/purge"); resp.StatusCode != 405 {
		t.Errorf("GET: %d", resp.StatusCode)
	}
}

func TestPurgesAtOnce(t *testing.T) {
	p, opts := &purger{}, adminOptions()
	opts.Purge = p.purge
	admin := api.NewAdmin(opts)
	var all sync.WaitGroup
	epochs := make([]uint64, 20)
	for i := range epochs {
		all.Go(func() {
			w := httptest.NewRecorder()
			admin.ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1/v1/purge", strings.NewReader(`{"tags":["t`+strconv.Itoa(i)+`"]}`)))
			var report shield.PurgeReport
			if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil || w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			epochs[i] = report.Epoch
		})
	}
	all.Wait()
	seen := map[uint64]bool{}
	for _, e := range epochs {
		seen[e] = true
	}
	if len(seen) != len(epochs) || len(p.asked()) != len(epochs) {
		t.Errorf("epochs %v", epochs)
	}
}

func FuzzDecodePurge(f *testing.F) {
	f.Add([]byte(`{"tags":["a"],"soft":true}`))
	f.Add([]byte(`{"all":true} `))
	f.Add([]byte(`{"tags":null}`))
	f.Add([]byte(`{"tags":["a"],"tags":["b"]}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		p := &purger{}
		opts := adminOptions()
		opts.Purge = p.purge
		w := httptest.NewRecorder()
		api.NewAdmin(opts).ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1/v1/purge", bytes.NewReader(src)))
		if !json.Valid(w.Body.Bytes()) || w.Code != 200 && w.Code != 400 {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		if w.Code == 200 { // whatever is understood is what another reader understands
			var o shield.PurgeOrder
			if err := json.Unmarshal(src, &o); err != nil || !reflect.DeepEqual(o, p.asked()[0]) {
				t.Fatalf("%q: %+v, %v", src, p.asked(), err)
			}
		}
	})
}
