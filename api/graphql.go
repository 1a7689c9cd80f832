package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"weir/policy"
)

// maxGraphQLTokens bounds what is parsed of one document. One of 8000 bytes with short
// names has about 3000 tokens; the parser bounds how deep they nest.
const maxGraphQLTokens = 4000

// graphqlQuery says whether a request is one GraphQL query, and is so to everybody who
// reads it. Origins differ in which of two equal names counts, in what they make of
// encodings, and in where they look first, and a mutation could hide in the
// difference: whatever leaves room for one is no query.
func graphqlQuery(req *policy.Request, header http.Header, body []byte) bool {
	_, raw, _ := strings.Cut(req.Target, "?")
	params, ok := graphqlParams(raw)
	if !ok {
		return false
	}
	if req.Method != http.MethodPost {
		return queryChosen(params["query"], params["operationName"]) && nothingPersisted([]byte(params["extensions"]))
	}
	if len(params) > 0 || !plainJSON(header) {
		return false // parameters go before the body at some origins
	}
	members, ok := jsonMembers(body)
	if !ok {
		return false
	}
	var document, operation string
	for name, value := range members {
		switch name {
		case "query":
			ok = json.Unmarshal(value, &document) == nil
		case "operationName":
			ok = json.Unmarshal(value, &operation) == nil // null is none
		case "variables":
			ok = value[0] == '{' || value[0] == 'n'
		case "extensions":
			ok = nothingPersisted(value)
		default:
			ok = false // it may name a stored document
		}
		if !ok {
			return false
		}
	}
	return queryChosen(document, operation)
}

// graphqlParams returns those parameters of a raw query that GraphQL over GET is made
// of. ok is false when a reader could find others, or find them elsewhere.
func graphqlParams(raw string) (params map[string]string, ok bool) {
	if strings.Contains(raw, ";") { // separates for some
		return nil, false
	}
	params = map[string]string{}
	for param := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(param, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, false
		}
		word := firstWord(name)
		if !slices.ContainsFunc(policy.GraphQLParameters, func(p string) bool { return strings.EqualFold(p, word) }) {
			continue
		}
		if _, twice := params[name]; twice || !slices.Contains(policy.GraphQLParameters, name) {
			return nil, false // as are query[0], Query and the like
		}
		if params[name], err = url.QueryUnescape(value); err != nil {
			return nil, false
		}
	}
	return params, true
}

// firstWord returns the first run of letters in a name.
func firstWord(name string) string {
	name = strings.TrimLeftFunc(name, func(r rune) bool { return !unicode.IsLetter(r) })
	if end := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsLetter(r) }); end >= 0 {
		return name[:end]
	}
	return name
}

// plainJSON says whether the content is declared to be JSON in UTF-8, and nothing else.
func plainJSON(h http.Header) bool {
	lines := h["Content-Type"]
	if len(lines) != 1 || len(h["Content-Encoding"]) > 0 {
		return false
	}
	kind, charset, has := strings.Cut(strings.ToLower(lines[0]), ";")
	switch strings.Trim(kind, " \t") {
	case "application/json", "application/graphql+json":
	default:
		return false
	}
	charset = strings.Trim(charset, " \t")
	return !has || charset == "charset=utf-8" || charset == `charset="utf-8"`
}

// jsonMembers returns the members of a JSON object. ok is false when it is none, or
// has two of one name.
func jsonMembers(src []byte) (members map[string]json.RawMessage, ok bool) {
	if !utf8.Valid(src) || !json.Valid(src) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(src))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	members = map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		name, isText := token.(string)
		if _, twice := members[name]; err != nil || !isText || twice {
			return nil, false
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, false
		}
		members[name] = value
	}
	return members, true
}

// nothingPersisted says whether the extensions of a request leave its document alone.
// A persisted query is named by a hash, and origins differ in whether it or a text
// beside it counts.
func nothingPersisted(extensions []byte) bool {
	if len(extensions) == 0 || string(extensions) == "null" {
		return true
	}
	members, ok := jsonMembers(extensions)
	for name := range members {
		ok = ok && !strings.EqualFold(name, "persistedQuery")
	}
	return ok
}

// queryChosen says whether the operation of a document that runs is a query.
func queryChosen(document, operation string) bool {
	if !plainText(document) || !plainText(operation) {
		return false
	}
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: document}, maxGraphQLTokens)
	if err != nil {
		return false
	}
	var chosen *ast.OperationDefinition
	names := map[string]bool{}
	for _, op := range parsed.Operations {
		if names[op.Name] || op.Name == "" && len(parsed.Operations) > 1 {
			return false
		}
		names[op.Name] = true
		if op.Name == operation || operation == "" && len(parsed.Operations) == 1 {
			chosen = op
		}
	}
	return chosen != nil && chosen.Operation == ast.Query
}

// plainText says whether every reader finds the same lines and strings in a document:
// it has no byte order mark, no control characters but line ends that all agree
// about, and no block strings, which old readers take for three strings.
func plainText(s string) bool {
	if !utf8.ValidString(s) || strings.Contains(s, `"""`) {
		return false
	}
	if strings.Contains(strings.ReplaceAll(s, "\r\n", ""), "\r") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		switch r {
		case '\t', '\n', '\r':
			return false
		case '\ufeff', '\u2028', '\u2029', utf8.RuneError: // the last is what a lone surrogate becomes
			return true
		}
		return unicode.IsControl(r)
	})
}
