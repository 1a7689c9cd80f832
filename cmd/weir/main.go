package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands is the command line. Commands that do not work yet are not listed.
type commands struct {
	Config configFile `placeholder:"FILE" help:"Read flags from a JSON object: {\"listen\": \":8080\"}."`

	Serve   serveCommand   `cmd:"" help:"Run a node: a cache in front of an origin."`
	Policy  policyCommands `cmd:"" help:"Check a policy file, or print its schema."`
	Purge   purgeCommand   `cmd:"" help:"Purge by tag, URL, prefix, host or key, or everything."`
	Explain explainCommand `cmd:"" help:"Tell what becomes of a request: route, key, what is stored, what is in the way."`
	Verify  verifyCommand  `cmd:"" help:"Check the data folder of a node that is not running."`
	KV      kvCommands     `cmd:"" name:"kv" help:"Read and write the values that programs keep."`
	Stats   statsCommand   `cmd:"" help:"Show the counters of a running node, live on a terminal."`
	Logs    logsCommand    `cmd:"" help:"Print the requests of a running node, with what became of each."`
	Version versionCommand `cmd:"" help:"Print the version of this build."`

	Completion completionCommand `cmd:"" help:"Print a script with which a shell completes weir's command lines."`
}

const description = "weir is a persistent, tiered HTTP cache in front of your own origin servers."

// console is where a command prints, and what it reads of its surroundings.
type console struct {
	in       io.Reader
	out, err io.Writer
	env      func(name string) string
	now      func() time.Time // nil: time.Now
	screen   func() screen    // that out is shown on; nil: none
}

// usageError is a mistake in how weir was called: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// advised is an error with what to do about it, in whole sentences.
type advised struct {
	error
	advice string
}

func (e advised) Unwrap() error { return e.error }

func main() {
	os.Exit(run(context.Background(), os.Args[1:], console{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, screen: func() screen { return screenOf(os.Stdout) },
	}))
}

// run executes one command line and returns its exit status.
func run(ctx context.Context, args []string, con console) int {
	if len(args) == 0 {
		con.out = con.err
		run(ctx, []string{"--help"}, con)
		return exitUsage
	}
	helped := false
	var line commands
	parser, err := kong.New(&line,
		kong.Name("weir"), kong.Description(description),
		kong.Writers(con.out, con.err),
		kong.Exit(func(int) { helped = true }), // kong goes on after it printed help
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Help(printHelp),
		kong.ExplicitGroups(serveGroups),
		kong.Bind(con),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return report(con, "weir", err)
	}
	parsed, err := parser.Parse(args)
	switch {
	case helped:
		return exitDone
	case err != nil:
		return report(con, "weir", asUsage(err))
	}
	return report(con, parsed.Selected().FullPath(), parsed.Run())
}

// asUsage marks what the parser refused, and points to the help of the command.
func asUsage(err error) error {
	var parse *kong.ParseError
	if !errors.As(err, &parse) {
		return usageError{err}
	}
	command := "weir"
	if parse.Context != nil && parse.Context.Selected() != nil {
		command = parse.Context.Selected().FullPath()
	}
	return usageError{advised{parse.Unwrap(), command + " --help lists what there is."}}
}

// report prints err for the person at the terminal and returns the exit status.
func report(con console, command string, err error) int {
	if err == nil {
		return exitDone
	}
	if !errors.Is(err, errQuiet) {
		fmt.Fprintf(con.err, "%s: %s\n", command, strings.TrimRight(err.Error(), "\n"))
		var a advised
		if errors.As(err, &a) {
			fmt.Fprintf(con.err, "  %s\n", strings.ReplaceAll(a.advice, "\n", "\n  "))
		}
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// errQuiet fails a command that has already printed why.
var errQuiet = errors.New("failed")
