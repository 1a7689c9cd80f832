package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"weir/shield"
)

// purge carries out the order in the body, which is all that counts.
func (a *Admin) purge(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	order, err := decodeOrder(body)
	if err != nil {
		return badOrder(err.Error(), err)
	}
	report, err := a.opts.Purge(r.Context(), order)
	if err != nil {
		return purgeFault(err)
	}
	if report.Regions == nil {
		report.Regions = []shield.RegionReport{}
	}
	if report.Pending == nil {
		report.Pending = []string{}
	}
	return writeJSON(w, http.StatusOK, report)
}

// decodeOrder reads an order. It is strict, because what is not understood would not be
// purged: names are as they are written, stand once, and nothing is null.
func decodeOrder(src []byte) (o shield.PurgeOrder, err error) {
	const lists, switches = "a list of strings", "true or false"
	fields := map[string]struct {
		into any
		what string
	}{
		"tags": {&o.Tags, lists}, "urls": {&o.URLs, lists}, "prefixes": {&o.Prefixes, lists}, "hosts": {&o.Hosts, lists},
		"keys": {&o.Keys, lists}, "all": {&o.All, switches}, "soft": {&o.Soft, switches}, "dryRun": {&o.DryRun, switches},
	}
	const known = "; the fields are tags, urls, prefixes, hosts, keys, all, soft and dryRun"
	dec := json.NewDecoder(bytes.NewReader(src))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return o, errors.New(`the body is no JSON object; send one such as {"tags": ["products"]}`)
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return o, fmt.Errorf("the body is no valid JSON: %w", err)
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return o, fmt.Errorf("the body is no valid JSON: %w", err)
		}
		field, ok := fields[name]
		switch {
		case !ok:
			return o, fmt.Errorf("%.40q is no field of a purge%s", name, known)
		case seen[name]:
			return o, fmt.Errorf("%s stands twice; give it once", name)
		case string(value) == "null" || json.Unmarshal(value, field.into) != nil || hasNull(value):
			return o, fmt.Errorf("%s must be %s", name, field.what)
		}
		seen[name] = true
	}
	if _, err := dec.Token(); err != nil {
		return o, fmt.Errorf("the body is no valid JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("there is more after the object; send one")
	}
	return o, nil
}

// hasNull says whether a list has an entry that is null, which Go takes for an empty string.
func hasNull(value json.RawMessage) bool {
	var entries []*string
	if json.Unmarshal(value, &entries) != nil {
		return false // no list
	}
	for _, entry := range entries {
		if entry == nil {
			return true
		}
	}
	return false
}

// badOrder is the fault of an order that cannot be carried out. Nothing of it was.
func badOrder(text string, cause error) *fault {
	message, hint := text, ""
	if i := strings.LastIndex(text, "; "); i >= 0 {
		message, hint = text[:i], sentence(text[i+2:])
	}
	return &fault{status: 400, code: "bad-purge", message: "Nothing was purged: " + message + ".", hint: hint, cause: cause}
}

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// purgeFault says of an error what it means for the purge: whether it holds.
func purgeFault(err error) error {
	switch {
	case errors.Is(err, shield.ErrOrder):
		return badOrder(strings.TrimPrefix(err.Error(), shield.ErrOrder.Error()+": "), err)
	case errors.Is(err, shield.ErrLog):
		return &fault{
			status: 503, code: "purge-not-durable", message: "The purge holds at the shield alone, because it could not be made durable.",
			hint: "See to the disk of the shield and purge again: edges have not heard of it, and a restart may take it back.", cause: err,
		}
	case errors.Is(err, shield.ErrParent):
		return &fault{
			status: 503, code: "shield-unreachable", message: "The shield does not answer, so this purge is not known to hold anywhere.",
			hint: "Purge again when it does, here or at the shield itself: a purge may be repeated.", retry: 1, cause: err,
		}
	}
	return err
}
