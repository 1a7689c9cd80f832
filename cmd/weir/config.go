package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// configFile is the path given to --config.
type configFile string

// BeforeResolve makes the environment and the configuration file known to the
// parser. kong calls it for every command, because the flag has a default of "".
func (c commands) BeforeResolve(ctx *kong.Context, con console) error {
	r := &sources{env: con.env}
	path := configPath(ctx, con)
	if path != "" {
		src, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("--config: %w", err)
		}
		r.file = path
		if r.values, err = parseConfig(path, src, knownFlags(ctx.Model.Node)); err != nil {
			return err
		}
	}
	ctx.AddResolver(r)
	return nil
}

// configPath is the configuration file's path, from the command line or the environment.
func configPath(ctx *kong.Context, con console) string {
	for _, flag := range ctx.Model.Flags {
		if flag.Name == "config" {
			if path, ok := ctx.FlagValue(flag).(configFile); ok && path != "" {
				return string(path)
			}
		}
	}
	return con.env(envName("config"))
}

// envName is the environment variable of a flag.
func envName(flag string) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// sources resolves flags that the command line does not give: the environment
// first, then the configuration file. An empty variable counts as unset, which is
// how compose files and unit files leave one out.
type sources struct {
	env    func(string) string
	file   string
	values map[string]configValue
}

// Validate has nothing to check before a command is selected.
func (s *sources) Validate(*kong.Application) error { return nil }

// Resolve returns the text for flag, or nil for its default.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Name == "help" || flag.Name == "config" {
		return nil, nil
	}
	if text := s.env(envName(flag.Name)); text != "" {
		return text, tryDecode(flag, envName(flag.Name), text)
	}
	if v, ok := s.values[flag.Name]; ok {
		return v.text, tryDecode(flag, s.file+":"+v.at, v.text)
	}
	return nil, nil
}

// tryDecode names the source of a value that its flag refuses; the parser alone
// would name only the flag.
func tryDecode(flag *kong.Flag, source, text string) error {
	scratch := reflect.New(flag.Target.Type()).Elem()
	scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, scratch); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// configValue is one value of a configuration file and its place, "line:column".
type configValue struct{ text, at string }

// knownFlags are the flags of all commands by name: whether each is a switch.
func knownFlags(root *kong.Node) map[string]bool {
	known := make(map[string]bool)
	_ = kong.Visit(root, func(v kong.Visitable, next kong.Next) error {
		if node, ok := v.(*kong.Node); ok {
			for _, flag := range node.Flags {
				if flag.Name != "help" && flag.Name != "config" {
					known[flag.Name] = flag.IsBool()
				}
			}
		}
		return next(nil)
	})
	return known
}

// parseConfig reads a JSON object of flag names and values. It finds every
// mistake before it returns.
func parseConfig(name string, src []byte, known map[string]bool) (map[string]configValue, error) {
	p := &configParser{name: name, src: src, dec: json.NewDecoder(bytes.NewReader(src)), known: known}
	p.dec.UseNumber()
	values := make(map[string]configValue)
	if token, _, err := p.next(); err != nil {
		return nil, err
	} else if token != json.Delim('{') {
		return nil, p.errorf(0, `must be an object of flags: {"listen": ":8080"}`)
	}
	var all []error
	for p.dec.More() {
		if err := p.member(values); err != nil {
			all = append(all, err)
			if p.broken {
				return nil, errors.Join(all...)
			}
		}
	}
	if _, _, err := p.next(); err != nil { // the closing brace
		return nil, errors.Join(append(all, err)...)
	}
	if _, offset, err := p.next(); err == nil {
		all = append(all, p.errorf(offset, "more after the object's end; leave one object"))
	}
	return values, errors.Join(all...)
}

type configParser struct {
	name   string
	src    []byte
	dec    *json.Decoder
	known  map[string]bool
	broken bool // the rest cannot be read
}

// member reads one key and its value.
func (p *configParser) member(into map[string]configValue) error {
	token, at, err := p.next()
	if err != nil {
		return err
	}
	key, _ := token.(string)
	value, valueAt, err := p.next()
	if err != nil {
		return err
	}
	if delim, ok := value.(json.Delim); ok {
		if err := p.skip(); err != nil {
			return err
		}
		value = delim
	}
	isSwitch, ok := p.known[key]
	if !ok {
		return p.errorf(at, "unknown key %q; %s", key, p.right(key))
	}
	if _, twice := into[key]; twice {
		return p.errorf(at, "%q stands twice; leave one", key)
	}
	text, err := configText(value, isSwitch)
	if err != nil {
		return p.errorf(valueAt, "%q %v", key, err)
	}
	into[key] = configValue{text: text, at: p.place(valueAt)}
	return nil
}

// configText is a JSON value as it would stand on the command line.
func configText(value json.Token, isSwitch bool) (string, error) {
	switch v := value.(type) {
	case bool:
		if isSwitch {
			return fmt.Sprint(v), nil
		}
	case string:
		if !isSwitch {
			return v, nil
		}
	case json.Number:
		if !isSwitch {
			return "", fmt.Errorf("must be a string: write \"%s\" with its unit, if it has one", v)
		}
	}
	if isSwitch {
		return "", errors.New("must be true or false")
	}
	return "", errors.New("must be a string")
}

// next returns the next token and its offset.
func (p *configParser) next() (json.Token, int64, error) {
	offset := p.dec.InputOffset()
	for offset < int64(len(p.src)) && strings.IndexByte(" \t\r\n,:", p.src[offset]) >= 0 {
		offset++
	}
	token, err := p.dec.Token()
	if err == nil {
		return token, offset, nil
	}
	p.broken = true
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, offset, p.errorf(offset, "not valid JSON: %v", syntax)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, offset, p.errorf(int64(len(p.src)), "the file ends too early; the object is not closed")
	}
	return nil, offset, p.errorf(offset, "%v", err)
}

// skip reads to the end of a nested value whose opening was just read.
func (p *configParser) skip() error {
	for depth := 1; depth > 0; {
		token, _, err := p.next()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

func (p *configParser) errorf(offset int64, format string, args ...any) error {
	return fmt.Errorf("%s:%s: %s", p.name, p.place(offset), fmt.Sprintf(format, args...))
}

// place is an offset as "line:column", both from 1.
func (p *configParser) place(offset int64) string {
	before := p.src[:max(0, min(offset, int64(len(p.src))))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("%d:%d", line, column)
}

// right says which key was probably meant.
func (p *configParser) right(key string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s))
	}
	names := make([]string, 0, len(p.known))
	for name := range p.known {
		names = append(names, name)
	}
	sort.Strings(names)
	best, distance := "", 3
	for _, name := range names {
		if d := editDistance(plain(key), plain(name)); d < distance {
			best, distance = name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("write %q", best)
	}
	return "the keys are " + strings.Join(names, ", ")
}

// editDistance is the Levenshtein distance in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
