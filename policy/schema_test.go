package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"weir/policy"
)

// The schema must accept whatever Compile accepts; an editor that marks a good
// policy is worse than none. It must refuse mistakes that one field alone shows.

func TestSchemaAcceptsFull(t *testing.T) {
	if err := validate(t, readFile(t, "testdata/full.json")); err != nil {
		t.Error(err)
	}
}

// TestFullShowsEveryField walks the schema and looks for each field in full.json.
func TestFullShowsEveryField(t *testing.T) {
	shown := map[string]bool{}
	var visit func(value any)
	visit = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, inner := range v {
				shown[name] = true
				visit(inner)
			}
		case []any:
			for _, inner := range v {
				visit(inner)
			}
		}
	}
	visit(decode(t, readFile(t, "testdata/full.json")))
	for _, field := range schemaFields(any(schemaRoot())) {
		if !shown[field] {
			t.Errorf("full.json does not show %q", field)
		}
	}
}

func schemaFields(value any) []string {
	var fields []string
	switch v := value.(type) {
	case map[string]any:
		if properties, ok := v["properties"].(map[string]any); ok {
			for name := range properties {
				fields = append(fields, name)
			}
		}
		for _, inner := range v {
			fields = append(fields, schemaFields(inner)...)
		}
	case []any:
		for _, inner := range v {
			fields = append(fields, schemaFields(inner)...)
		}
	}
	return fields
}

// TestSchemaIsDescribed wants what an editor shows: a description of each field, and
// no unknown field passing unmarked.
func TestSchemaIsDescribed(t *testing.T) {
	var visit func(path string, value any)
	visit = func(path string, value any) {
		schema, ok := value.(map[string]any)
		if !ok {
			return
		}
		if properties, ok := schema["properties"].(map[string]any); ok {
			if schema["additionalProperties"] != false {
				t.Errorf("%s accepts unknown fields", path)
			}
			for name, p := range properties {
				if !described(t, p.(map[string]any)) {
					t.Errorf("%s/%s has no description", path, name)
				}
			}
		}
		for name, inner := range schema {
			visit(path+"/"+name, inner)
		}
	}
	visit("", any(schemaRoot()))
}

func described(t *testing.T, schema map[string]any) bool {
	if schema["description"] != nil {
		return true
	}
	if ref, ok := schema["$ref"].(string); ok {
		return described(t, resolve(schemaRoot(), ref))
	}
	choices, _ := schema["anyOf"].([]any)
	return slices.ContainsFunc(choices, func(c any) bool { return described(t, c.(map[string]any)) })
}

// TestSchemaSeesMistakes lists the mistakes that the schema cannot see. Everything
// else in the golden files that is JSON must be refused by it, too.
func TestSchemaSeesMistakes(t *testing.T) {
	var unseen strings.Builder
	everyMistake(t, func(topic string, all []mistake) {
		for _, m := range all {
			if json.Valid(m.src) && validate(t, m.src) == nil {
				fmt.Fprintf(&unseen, "%s/%s\n", topic, m.name)
			}
		}
	})
	const file = "testdata/beyond-schema.txt"
	if *update {
		if err := os.WriteFile(file, []byte(unseen.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(readFile(t, file)); unseen.String() != want {
		t.Errorf("mistakes that the schema does not see:\n%swant:\n%s", unseen.String(), want)
	}
}

// TestSchemaAgreesOnMutations puts every kind of value in every place of full.json,
// and misspells every field.
func TestSchemaAgreesOnMutations(t *testing.T) {
	values := []any{nil, true, false, -1.0, 0.5, "", "x", "a b\n", []any{}, []any{"x"}, map[string]any{"name": "x"}}
	accepted, total := 0, 0
	try := func(root any, what string) {
		src, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		total++
		_, wrong := policy.Compile("mutation", src)
		seen := validate(t, src)
		if wrong == nil {
			accepted++
		}
		if wrong == nil && seen != nil {
			t.Errorf("%s: Compile accepts, the schema refuses: %v", what, seen)
		}
		if strings.HasPrefix(what, "misspelt") && (wrong == nil) != (seen == nil) {
			t.Errorf("%s: Compile says %v, the schema %v", what, wrong, seen)
		}
	}
	root := decode(t, readFile(t, "testdata/full.json"))
	mutate(root, func(path string, set func(any), restore func()) {
		for _, v := range values {
			set(v)
			try(root, fmt.Sprintf("%s = %v", path, v))
		}
		restore()
	}, func(path string) {
		// An origin is called what its users call it, which is beyond the schema.
		if path != ".origins.shop" && path != ".origins.next" {
			try(root, "misspelt "+path)
		}
	})
	if accepted == 0 || accepted == total {
		t.Errorf("%d of %d mutations are accepted", accepted, total)
	}
}

// mutate calls value for each place under v, and named after misspelling each name.
func mutate(v any, value func(path string, set func(any), restore func()), named func(path string)) {
	var visit func(path string, v any)
	visit = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, old := range v {
				at := path + "." + name
				value(at, func(x any) { v[name] = x }, func() { v[name] = old })
				delete(v, name)
				v[name+"s"] = old
				named(at)
				delete(v, name+"s")
				v[name] = old
				visit(at, old)
			}
		case []any:
			for i, old := range v {
				at := fmt.Sprintf("%s[%d]", path, i)
				value(at, func(x any) { v[i] = x }, func() { v[i] = old })
				visit(at, old)
			}
		}
	}
	visit("", v)
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func decode(t testing.TB, src []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// validate checks a policy against the schema, with as much of JSON Schema as the
// schema uses; a keyword beyond that fails the test.
func validate(t testing.TB, src []byte) error {
	t.Helper()
	var value any
	if err := json.Unmarshal(src, &value); err != nil {
		return err // a number that does not fit
	}
	v := validator{t, schemaRoot()}
	return v.check(v.root, value, "")
}

var schemaRoot = sync.OnceValue(func() map[string]any {
	var root map[string]any
	if err := json.Unmarshal(policy.Schema(), &root); err != nil {
		panic(err)
	}
	return root
})

// compiled holds the schema's patterns. They use what RE2 and ECMA-262 have in
// common, and \uXXXX.
var compiled = map[string]*regexp.Regexp{}

func pattern(s string) *regexp.Regexp {
	if compiled[s] == nil {
		compiled[s] = regexp.MustCompile(regexp.MustCompile(`\\u([0-9a-f]{4})`).ReplaceAllString(s, `\x{$1}`))
	}
	return compiled[s]
}

type validator struct {
	t    testing.TB
	root map[string]any
}

func resolve(root map[string]any, ref string) map[string]any {
	return root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
}

func (v validator) check(schema map[string]any, value any, path string) error {
	for keyword, want := range schema {
		ok := true
		switch keyword {
		case "$schema", "$defs", "title", "description", "default", "examples":
		case "$ref":
			if err := v.check(resolve(v.root, want.(string)), value, path); err != nil {
				return err
			}
		case "anyOf", "oneOf":
			matching := 0
			for _, choice := range want.([]any) {
				if v.check(choice.(map[string]any), value, path) == nil {
					matching++
				}
			}
			ok = matching == 1 || keyword == "anyOf" && matching > 0
		case "const":
			ok = value == want
		case "type":
			ok = hasType(value, want)
		default:
			var err error
			switch value := value.(type) {
			case map[string]any:
				err = v.checkObject(schema, keyword, value, path)
			case []any:
				err = v.checkArray(keyword, want, value, path)
			case string:
				ok = v.checkString(keyword, want, value)
			case float64:
				ok = v.checkNumber(keyword, want, value)
			}
			if err != nil {
				return err
			}
		}
		if !ok {
			return fmt.Errorf("%s: %v against %s %v", path, value, keyword, want)
		}
	}
	return nil
}

func hasType(value, want any) bool {
	if names, ok := want.([]any); ok {
		return slices.ContainsFunc(names, func(name any) bool { return hasType(value, name) })
	}
	switch value := value.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case float64:
		return want == "number" || want == "integer" && value == float64(int64(value))
	case string:
		return want == "string"
	case []any:
		return want == "array"
	}
	return want == "object"
}

func (v validator) checkObject(schema map[string]any, keyword string, value map[string]any, path string) error {
	properties, _ := schema["properties"].(map[string]any)
	switch want := schema[keyword]; keyword {
	case "properties":
		for name, inner := range value {
			if p, known := properties[name]; known {
				if err := v.check(p.(map[string]any), inner, path+"."+name); err != nil {
					return err
				}
			}
		}
	case "additionalProperties":
		for name, inner := range value {
			if _, known := properties[name]; known {
				continue
			}
			if want == false {
				return fmt.Errorf("%s: unknown field %s", path, name)
			}
			if err := v.check(want.(map[string]any), inner, path+"."+name); err != nil {
				return err
			}
		}
	case "propertyNames":
		for name := range value {
			if err := v.check(want.(map[string]any), name, path+" name"); err != nil {
				return err
			}
		}
	case "required":
		for _, name := range want.([]any) {
			if _, given := value[name.(string)]; !given {
				return fmt.Errorf("%s: %s is missing", path, name)
			}
		}
	case "minProperties":
		if len(value) < int(want.(float64)) {
			return fmt.Errorf("%s: too few fields", path)
		}
	case "maxProperties":
		if len(value) > int(want.(float64)) {
			return fmt.Errorf("%s: too many fields", path)
		}
	default:
		v.unknown(keyword)
	}
	return nil
}

func (v validator) checkArray(keyword string, want any, value []any, path string) error {
	switch keyword {
	case "items":
		for i, item := range value {
			if err := v.check(want.(map[string]any), item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case "minItems":
		if len(value) < int(want.(float64)) {
			return fmt.Errorf("%s: too few items", path)
		}
	case "maxItems":
		if len(value) > int(want.(float64)) {
			return fmt.Errorf("%s: too many items", path)
		}
	case "uniqueItems":
		seen := map[string]bool{}
		for _, item := range value {
			text := fmt.Sprintf("%T %v", item, item)
			if seen[text] {
				return fmt.Errorf("%s: %v twice", path, item)
			}
			seen[text] = true
		}
	default:
		v.unknown(keyword)
	}
	return nil
}

func (v validator) checkString(keyword string, want any, value string) bool {
	if keyword == "pattern" {
		return pattern(want.(string)).MatchString(value)
	}
	v.unknown(keyword)
	return true
}

func (v validator) checkNumber(keyword string, want any, value float64) bool {
	switch keyword {
	case "minimum":
		return value >= want.(float64)
	case "exclusiveMinimum":
		return value > want.(float64)
	case "maximum":
		return value <= want.(float64)
	}
	v.unknown(keyword)
	return true
}

// unknown fails for keywords that this validator would pass over for every value.
func (v validator) unknown(keyword string) {
	known := "properties additionalProperties propertyNames required minProperties maxProperties items minItems maxItems uniqueItems pattern minimum exclusiveMinimum maximum"
	if !slices.Contains(strings.Fields(known), keyword) {
		v.t.Fatalf("the schema uses %q, which this test does not know", keyword)
	}
}
