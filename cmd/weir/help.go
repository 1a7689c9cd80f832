package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// manual is what --help says of a command besides its description and its flags.
type manual struct {
	examples    string // command lines, one a line
	environment string // variables beside those of flags, one a line
	exit        string // statuses, "" for the usual
}

// described is a command with a manual.
type described interface{ manual() manual }

const (
	flagsInTheEnvironment = `Every flag can also be set in the environment, --l1-size as WEIR_L1_SIZE, and in the --config file,
where its key is the flag's name: {"l1-size": "256MiB"}. The command line wins over the environment,
the environment over the file.`

	usualExit = "0 done, 1 failed, 2 wrong usage"
)

// manualOf returns the manual of what is selected, or of weir itself.
func manualOf(ctx *kong.Context) (m manual) {
	m.exit = usualExit
	node := ctx.Selected()
	if node == nil {
		m.examples = `weir serve --demo
weir serve --origin http://127.0.0.1:3000
weir logs --follow
weir purge --tag product:42`
		return m
	}
	if d, ok := node.Target.Interface().(described); ok {
		m = d.manual()
	}
	if m.exit == "" {
		m.exit = usualExit
	}
	return m
}

// printHelp prints kong's help, and the manual after it.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	return manualOf(ctx).print(ctx.Stdout)
}

func (m manual) print(w io.Writer) error {
	indent := func(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }
	var b strings.Builder
	if m.examples != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", indent(m.examples))
	}
	fmt.Fprintf(&b, "\nEnvironment:\n%s\n", indent(flagsInTheEnvironment))
	if m.environment != "" {
		fmt.Fprintf(&b, "%s\n", indent(m.environment))
	}
	fmt.Fprintf(&b, "\nExit status: %s.\n", m.exit)
	_, err := io.WriteString(w, b.String())
	return err
}
