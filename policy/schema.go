package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"sync"
)

// Schema returns the JSON Schema (draft 2020-12) of the policy file. It accepts
// whatever Compile accepts; contradictions between fields are beyond it.
func Schema() []byte { return append([]byte(nil), schema()...) }

var schema = sync.OnceValue(func() []byte {
	defs := map[string]any{}
	root := fileShape.schema(defs)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "weir policy"
	root["$defs"] = defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("policy: the schema does not marshal: %v", err)) // plain maps always do
	}
	return append(out, '\n')
})

// schema renders s; shapes with a name go to defs and are referred to.
func (s *shape) schema(defs map[string]any) map[string]any {
	if s.def == "" {
		return s.render(defs)
	}
	if defs[s.def] == nil {
		defs[s.def] = true // holds the place while s is rendered
		defs[s.def] = s.render(defs)
	}
	return map[string]any{"$ref": "#/$defs/" + s.def}
}

func (s *shape) render(defs map[string]any) map[string]any {
	m := map[string]any{}
	put := func(keyword string, value any, wanted bool) {
		if wanted {
			m[keyword] = value
		}
	}
	put("description", s.doc, s.doc != "")
	put("default", s.initial, s.initial != nil)
	put("examples", s.examples, s.examples != nil)
	switch {
	case s.either != nil:
		var choices []any
		for _, e := range s.either {
			choices = append(choices, e.schema(defs))
		}
		m["anyOf"] = choices
	case s.kind == boolean && s.falseOnly:
		m["const"] = false
	case s.kind == boolean:
		m["type"] = "boolean"
	case s.kind == number:
		m["type"] = "number"
		put("type", "integer", s.whole)
		put("exclusiveMinimum", s.low, s.above)
		put("minimum", s.low, !s.above)
		m["maximum"] = s.high
	case s.kind == text:
		m["type"] = "string"
		put("pattern", s.pattern, s.pattern != "")
	case s.kind == list:
		m["type"] = "array"
		m["items"] = s.elem.schema(defs)
		put("minItems", 1, s.some != "")
		m["maxItems"] = cmp.Or(s.most, maxEntries)
		put("uniqueItems", true, s.once)
	case s.elem != nil:
		m["type"] = "object"
		m["propertyNames"] = s.keys.schema(defs)
		m["additionalProperties"] = s.orNull(s.elem.schema(defs), s.nulls)
		put("minProperties", 1, s.some != "")
		m["maxProperties"] = cmp.Or(s.most, maxEntries)
	default:
		s.renderFields(m, defs)
	}
	return m
}

func (s *shape) renderFields(m, defs map[string]any) {
	properties := map[string]any{}
	for _, f := range s.fields {
		p := s.orNull(f.shape.schema(defs), s.nulls && !f.own)
		if f.doc != "" {
			p["description"] = f.doc
		}
		properties[f.name] = p
	}
	m["type"] = "object"
	m["properties"] = properties
	m["additionalProperties"] = false
	if s.exactly1 {
		m["minProperties"], m["maxProperties"] = 1, 1
	}
	var required []string
	for _, group := range s.required {
		if len(group) == 1 {
			required = append(required, group[0])
			continue
		}
		var oneOf []any
		for _, name := range group {
			oneOf = append(oneOf, map[string]any{"required": []string{name}})
		}
		m["oneOf"] = oneOf
	}
	if required != nil {
		m["required"] = required
	}
}

// orNull lets a schema accept null, too.
func (s *shape) orNull(schema map[string]any, wanted bool) map[string]any {
	if !wanted {
		return schema
	}
	if kind, ok := schema["type"].(string); ok {
		schema["type"] = []string{kind, "null"}
		return schema
	}
	return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
}
