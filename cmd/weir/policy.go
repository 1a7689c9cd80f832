package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"weir/api"
	"weir/policy"
)

// policyCommands work on policy files and on the policy of a node.
type policyCommands struct {
	Check  policyCheckCommand  `cmd:"" help:"Print every mistake in a policy file."`
	Schema policySchemaCommand `cmd:"" help:"Print the JSON Schema of policy files, for editors."`
	Show   policyShowCommand   `cmd:"" help:"Print the policy that a running node uses."`
}

// policyCheckCommand compiles a policy file.
type policyCheckCommand struct {
	File string `arg:"" name:"FILE" help:"The policy file."`
}

// Help is the long description in --help.
func (policyCheckCommand) Help() string {
	return `Each mistake is one line on standard error: file, line, column, field, and what would be right. Exit
status 1 if there are any. What is allowed but hardly meant is a warning. For a file without mistakes its
version is printed; a running node logs the version of the policy in use.`
}

func (policyCheckCommand) manual() manual {
	return manual{
		examples: "weir policy check policy.json",
		exit:     "0 no mistakes; 1 mistakes, or the file cannot be read; 2 wrong usage",
	}
}

// Run prints the policy's version, or what is wrong with it.
func (c *policyCheckCommand) Run(con console) error {
	src, err := readPolicy(c.File)
	if err != nil {
		return err
	}
	table, err := policy.Compile(c.File, src)
	if err != nil {
		fmt.Fprintln(con.err, strings.Join(mistakes(err), "\n"))
		return errQuiet
	}
	for _, w := range table.Warnings {
		fmt.Fprintln(con.err, "warning:", w)
	}
	_, err = fmt.Fprintf(con.out, "%s: ok, %s, version %s\n", c.File, summary(table), table.Version)
	return err
}

// summary counts what a policy holds, and names its deployment.
func summary(table *policy.Table) string {
	plural := func(n int, word string) string {
		if n == 1 {
			return "1 " + word
		}
		return fmt.Sprintf("%d %ss", n, word)
	}
	counts := plural(len(table.Plans())-1, "route") + ", " + plural(len(table.Origins), "origin")
	if table.Deployment != "" {
		counts += ", deployment " + table.Deployment
	}
	return counts
}

// policySchemaCommand prints the schema.
type policySchemaCommand struct{}

// Help is the long description in --help.
func (policySchemaCommand) Help() string {
	return "The schema has a description of each field. An editor that knows it completes and checks while one writes."
}

func (policySchemaCommand) manual() manual {
	return manual{examples: "weir policy schema > policy.schema.json"}
}

// Run prints the JSON Schema.
func (policySchemaCommand) Run(con console) error {
	_, err := con.out.Write(policy.Schema())
	return err
}

// policyShowCommand prints a node's policy.
type policyShowCommand struct {
	nodeFlags
}

// Help is the long description in --help.
func (policyShowCommand) Help() string {
	return "Prints the file as the node has read it, which may be older than the file is now: a file with mistakes changes nothing."
}

func (policyShowCommand) manual() manual {
	return manual{
		examples: `weir policy show
weir policy show --admin http://10.0.0.7:8081 | diff - policy.json`,
		exit: "0 done; 1 the node cannot be asked, or has no policy file; 2 wrong usage",
	}
}

// Run prints the file as the node read it.
func (c *policyShowCommand) Run(ctx context.Context, con console) error {
	body, err := c.get(ctx, con, "/v1/policy")
	if err != nil {
		return err
	}
	var state api.PolicyState
	if err := json.Unmarshal(body, &state); err != nil {
		return fmt.Errorf("the answer of %s is not a policy: %w", c.Admin, err)
	}
	if len(state.Source) == 0 || string(state.Source) == "null" {
		return advised{errors.New("the node has no policy file"), "It was started with --origin; the origin's response headers decide what is kept."}
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, state.Source, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "%s\n", indented.Bytes())
	return err
}

// readPolicy reads a policy file that has to be there.
func readPolicy(path string) ([]byte, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, advised{err, "The smallest policy file is:\n" +
			`{ "origins": { "site": { "url": "http://127.0.0.1:3000" } }, "defaults": { "origin": "site" } }`}
	}
	return src, nil
}
