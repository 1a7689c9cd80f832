package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The import law, one row an edge that may not exist. It lives beside the one
// package that may import all the others.

// edge forbids a package of this module, and the packages below it, to import
// another one. Tests are bound by it too.
type edge struct{ from, to, why string }

var forbiddenEdges = []edge{
	{"keying", "rfc9111", "a key is a function of its spec and its request; what HTTP says about reuse comes later"},
	{"keying", "policy", "policy compiles key specs; keying must not know routes"},
	{"keying", "l1", "a key does not know where it is looked up"},
	{"keying", "l2", "a key does not know where it is looked up"},
	{"keying", "shield", "a key does not know where it is looked up"},
	{"keying", "api", "a key is made of plain values, not of what a door saw"},

	{"rfc9111", "keying", "verdicts are about responses; what they are stored under changes nothing"},
	{"rfc9111", "policy", "rules reach a verdict as values, not as a policy file"},
	{"rfc9111", "l1", "a verdict does not know which tier asks"},
	{"rfc9111", "l2", "a verdict does not know which tier asks"},
	{"rfc9111", "shield", "a verdict does not know which tier asks"},
	{"rfc9111", "api", "a verdict does not know which door asks"},

	{"policy", "l1", "a policy says how to cache and must never know caches"},
	{"policy", "l2", "a policy says how to cache and must never know caches"},
	{"policy", "shield", "a policy says how to cache and must never know caches"},
	{"policy", "api", "a policy must never know sockets"},

	{"l1", "l2", "siblings: a tier knows the next one by an interface that it declares itself"},
	{"l1", "shield", "siblings: a tier knows the next one by an interface that it declares itself"},
	{"l1", "api", "a tier must work without any door"},

	{"l2", "policy", "the disk keeps what it is given; it decides nothing by routes"},
	{"l2", "l1", "siblings: each tier must be replaceable alone"},
	{"l2", "shield", "siblings: the shield declares the store it needs, cmd adapts this one to it"},
	{"l2", "api", "a tier must work without any door"},

	{"kv", "api", "values do not know which door asks"},
	{"kv", "l1", "it declares the memory that it needs"},
	{"kv", "l2", "it declares the disk that it needs"},
	{"kv", "shield", "it declares the log that it needs"},
	{"kv", "policy", "values have no routes"},
	{"kv", "rfc9111", "values are no responses"},
	{"kv", "cmd", "cmd wires; whoever imports it could not be wired"},
	{"kv", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"l1", "kv", "memory holds what it is given"},
	{"l2", "kv", "the disk keeps what it is given"},
	{"shield", "kv", "the log names values; what they are changes nothing"},

	{"shield", "l1", "siblings: the shield tells a listener that it declares itself"},
	{"shield", "l2", "siblings: the shield stores through an interface that it declares itself"},
	{"shield", "api", "a tier must work without any door"},

	{"api/peer", "l2", "what peers say to each other does not depend on how anything is stored"},

	{"keying", "internal/tiers", "what is wired does not know the wires"},
	{"rfc9111", "internal/tiers", "what is wired does not know the wires"},
	{"policy", "internal/tiers", "what is wired does not know the wires"},
	{"kv", "internal/tiers", "what is wired does not know the wires"},
	{"l1", "internal/tiers", "what is wired does not know the wires"},
	{"l2", "internal/tiers", "what is wired does not know the wires"},
	{"shield", "internal/tiers", "what is wired does not know the wires"},
	{"api", "internal/tiers", "what is wired does not know the wires"},
	{"internal/tiers", "api", "tiers are put together without any door"},
	{"internal/tiers", "cmd", "cmd wires; whoever imports it could not be wired"},
	{"internal/tiers", "bench", "nothing imports bench: it measures the product and is no part of it"},

	{"keying", "cmd", "cmd wires; whoever imports it could not be wired"},
	{"rfc9111", "cmd", "cmd wires; whoever imports it could not be wired"},
	{"policy", "cmd", "cmd wires; whoever imports it could not be wired"},
	{"l1", "cmd", "cmd wires; whoever imports it could not be wired"},
	{"l2", "cmd", "cmd wires; whoever imports it could not be wired"},
	{"shield", "cmd", "cmd wires; whoever imports it could not be wired"},
	{"api", "cmd", "cmd wires; whoever imports it could not be wired"},

	{"keying", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"rfc9111", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"policy", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"l1", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"l2", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"shield", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"api", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"cmd", "bench", "nothing imports bench: it measures the product and is no part of it"},
	{"deploy", "bench", "nothing imports bench: it measures the product and is no part of it"},
}

// room confines packages from outside to the packages that hide them from the
// rest. A module without a room may not be imported at all. bench may import
// anything. Tests are free.
type room struct {
	imports string // of an import path, and all below it
	only    []string
	why     string
}

var rooms = []room{
	{"github.com/dgraph-io/ristretto", []string{"l1"}, "its losses and limits are l1's to make up for"},
	{"go.etcd.io/bbolt", []string{"l2"}, "a bbolt value is valid only inside its transaction; l2 copies or checks before anything leaves"},
	{"github.com/labstack/echo", []string{"api"}, "handlers are plain functions, so that echo can be replaced in one package"},
	{"github.com/alecthomas/kong", []string{"cmd"}, "flags are cmd's; packages take options"},
	{"github.com/prometheus", []string{"api"}, "packages keep counters and return values; api alone renders them"},
	{"go.uber.org/zap", []string{"api", "cmd"}, "packages return errors or report them; the outermost ones log"},
	{"github.com/vektah/gqlparser", []string{"api"}, "what a request means is read at the door; a tier is told"},
	{"github.com/klauspost/compress", []string{"l1", "l2"}, "codings belong to the tiers that hold or make the coded bytes"},
	{"github.com/andybalholm/brotli", []string{"l1"}, "what a client gets is coded and decoded at the edge; the disk tier has no use for br"},
	{"github.com/cespare/xxhash", []string{"l2"}, "checksums are part of the file format, which is l2's"},
	{"golang.org/x/sys/unix", []string{"l1"}, "what is Linux's alone has one file, and another one for those without it"},
	{"golang.org/x/net/http/httpguts", []string{"api"}, "the field grammar of net/http, for what a door lets in and out"},
	{"weir/cmd/weir/simnet", nil, "a network for tests: production code has the real one"},
	{"testing", nil, "production code is not built for its tests"},
	{"net/http/httptest", nil, "production code is not built for its tests"},
	{"net/http/pprof", nil, "it serves itself on http.DefaultServeMux, which belongs to the program that imports this"},
}

const whyRoom = "a dependency is a decision: give its module a room, with the reason"

// nameRule confines one name of a package of the standard library. bench and
// tests are free.
type nameRule struct {
	imports, name string
	only          []string
	why           string
}

var names = []nameRule{
	{"net/http", "Transport", []string{"shield", "cmd", "api/peer", goPackage}, "the shield alone talks to origins; cmd talks to admin listeners, peers to each other, programs to a node"},
	{"net/http", "DefaultTransport", nil, "it has no limits and is shared with whoever else uses it"},
	{"net/http", "DefaultClient", nil, "it has no timeout"},
	{"time", "Now", []string{goPackage, "api", "cmd", "kv", "l1", "l2", "policy", "shield"}, "keying and rfc9111 know no clock: now is a parameter"},
	{"time", "Since", []string{goPackage, "api", "cmd", "kv", "l1", "l2", "policy", "shield"}, "keying and rfc9111 know no clock: now is a parameter"},
	{"time", "Sleep", nil, "whoever waits, waits for an event or a context"},
}

// goPackage is the directory of the Go package that programs import.
const goPackage = "."

// goPackageImports are the parts that it hands out.
var goPackageImports = []string{"api", "api/peer", "internal/tiers", "kv", "l1", "l2", "policy", "shield"}

const (
	whyGoPackageImports = "the Go package wires as cmd does, and decides nothing that a part could: what else it imports needs a reason"
	whyGoPackage        = "the Go package is for programs; parts know each other directly"
)

// standardOnly lists packages that import the standard library alone.
var standardOnly = map[string]string{
	"keying":  "a key must come out the same for ever, whatever its dependencies do",
	"rfc9111": "verdicts follow the standards and nothing else",
}

// source is what the law sees of one file.
type source struct {
	dir     string // of its package, "/" between, "" for the top
	name    string
	test    bool
	imports []string
	uses    []string // "import path.Name" of every name of an imported package
}

func TestImportLaw(t *testing.T) {
	module, sources := readModule(t)
	if len(sources) < 50 {
		t.Fatalf("only %d files found", len(sources))
	}
	for _, v := range violations(module, sources) {
		t.Error(v)
	}
}

// A law that cannot be broken says nothing: every row must report a file that
// breaks it, and none that keeps it.
func TestImportLawCanBeBroken(t *testing.T) {
	const module = "weir"
	broken := func(dir, src, why string) {
		t.Helper()
		got := violations(module, []source{parseSource(t, dir, "x.go", src)})
		if !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, why) }) {
			t.Errorf("%s: %s is not reported; got %q", dir, src, got)
		}
	}
	for _, e := range forbiddenEdges {
		broken(e.from, fmt.Sprintf("package x; import %q", module+"/"+e.to), e.why)
		broken(e.from+"/below", fmt.Sprintf("package x; import _ %q", module+"/"+e.to+"/below"), e.why)
	}
	for _, r := range rooms {
		broken("elsewhere", fmt.Sprintf("package x; import %q", r.imports), r.why)
		for _, dir := range r.only {
			kept(t, module, parseSource(t, dir, "x.go", fmt.Sprintf("package x; import %q", r.imports+"/v2")))
		}
	}
	for _, n := range names {
		broken("elsewhere", fmt.Sprintf("package x; import %q; var _ = %s.%s", n.imports, path.Base(n.imports), n.name), n.why)
		broken("elsewhere", fmt.Sprintf("package x; import other %q; var _ = other.%s", n.imports, n.name), n.why)
	}
	for dir, why := range standardOnly {
		broken(dir, `package x; import "example.com/y"`, why)
	}
	broken("l1", `package x; import "example.com/y"`, whyRoom)
	broken(goPackage, `package x; import "weir/keying"`, whyGoPackageImports)
	broken("l1", `package x; import "weir"`, whyGoPackage)
	kept(t, module, parseSource(t, "cmd/weir", "x.go", `package x; import "weir"`))
	kept(t, module, parseSource(t, goPackage, "x.go", `package x; import "weir/kv"`))
	kept(t, module, parseSource(t, "l1", "x_test.go", `package x; import ("testing"; "example.com/y"; "weir/policy")`))
	kept(t, module, parseSource(t, "l1/l1test", "kit.go", `package x; import "testing"`))
	kept(t, module, parseSource(t, "l1", "x.go", `package x; import ("weir/l20"; "weir/policy"; "net/http"); var _ http.Header`))
}

func kept(t *testing.T, module string, s source) {
	t.Helper()
	if got := violations(module, []source{s}); len(got) > 0 {
		t.Errorf("%s: %q", s.dir, got)
	}
}

// violations lists what breaks the law, with the reason for the law.
func violations(module string, sources []source) []string {
	var found []string
	for _, s := range sources {
		report := func(format string, args ...any) {
			found = append(found, path.Join(s.dir, s.name)+" "+fmt.Sprintf(format, args...))
		}
		for _, imported := range s.imports {
			to, inside := strings.CutPrefix(imported, module+"/")
			for _, e := range forbiddenEdges {
				if inside && within(s.dir, e.from) && within(to, e.to) {
					report("imports %s: %s", imported, e.why)
				}
			}
			if s.test || within(s.dir, "bench") {
				continue
			}
			if s.dir == goPackage && inside && !slices.Contains(goPackageImports, to) {
				report("imports %s: %s", imported, whyGoPackageImports)
			}
			if imported == module && !within(s.dir, "cmd") {
				report("imports %s: %s", imported, whyGoPackage)
			}
			for _, r := range rooms {
				if within(imported, r.imports) && !withinAny(s.dir, r.only) {
					report("imports %s: %s", imported, r.why)
				}
			}
			outside := !inside && strings.Contains(top(imported), ".")
			if why := standardOnly[top(s.dir)]; outside && why != "" {
				report("imports %s: %s", imported, why)
			}
			if outside && !slices.ContainsFunc(rooms, func(r room) bool { return within(imported, r.imports) }) {
				report("imports %s: %s", imported, whyRoom)
			}
		}
		for _, n := range names {
			if !s.test && !within(s.dir, "bench") && !withinAny(s.dir, n.only) && slices.Contains(s.uses, n.imports+"."+n.name) {
				report("uses %s.%s: %s", n.imports, n.name, n.why)
			}
		}
	}
	return found
}

// within says whether p is the path or lies below it.
func within(p, above string) bool {
	return p == above || strings.HasPrefix(p, above+"/")
}

func withinAny(p string, above []string) bool {
	return slices.ContainsFunc(above, func(a string) bool { return within(p, a) })
}

// top is the first element of a path.
func top(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// readModule parses every Go file of the module.
func readModule(t *testing.T) (module string, sources []source) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(mod), "\n")
	module = strings.TrimPrefix(first, "module ")
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(file) != ".go" {
			return nil
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		sources = append(sources, parseSource(t, filepath.ToSlash(dir), d.Name(), string(src)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return module, sources
}

// parseSource reads what the law needs of a file. A package whose name ends in
// "test" is a conformance kit and counts as a test.
func parseSource(t *testing.T, dir, name, src string) source {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path.Join(dir, name), src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	s := source{dir: dir, name: name, test: strings.HasSuffix(name, "_test.go") || strings.HasSuffix(dir, "test")}
	local := make(map[string]string) // name in the file -> import path
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		s.imports = append(s.imports, imported)
		if spec.Name != nil {
			local[spec.Name.Name] = imported
		} else {
			local[path.Base(imported)] = imported
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && local[x.Name] != "" {
				s.uses = append(s.uses, local[x.Name]+"."+selector.Sel.Name)
			}
		}
		return true
	})
	return s
}
