package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"

	"weir/kv"
)

// kvCommands read and write the values that programs keep.
type kvCommands struct {
	Get    kvGetCommand    `cmd:"" help:"Write a value to standard output, byte for byte."`
	Set    kvSetCommand    `cmd:"" help:"Store a value."`
	Delete kvDeleteCommand `cmd:"" help:"Delete a value."`
	Has    kvHasCommand    `cmd:"" help:"Say with the exit status whether there is a value."`
	Incr   kvIncrCommand   `cmd:"" help:"Add to a number, and print what it comes to."`
}

// Help is the long description in --help.
func (kvCommands) Help() string {
	return `Values are kept by the shield and read at any node. A write is durable when the command ends, and every node learns
of it. --admin may also name the listener for values (--kv-listen), with its token.`
}

// orMissing are the exit statuses of commands that want a value to be there.
const orMissing = "0 done; 1 failed, or there is no such value; 2 wrong usage"

// kvKey is the key that a command is about, and whom it asks.
type kvKey struct {
	Key string `arg:"" help:"Any text of up to 1024 bytes."`
	nodeFlags
}

func (k *kvKey) path() string { return "/v1/kv/" + url.PathEscape(k.Key) }

// fetch asks for the value with a method, and returns what a GET answers with.
func (k *kvKey) fetch(ctx context.Context, con console, method string, into io.Writer) error {
	resp, err := k.open(ctx, con, method, k.path(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(into, resp.Body); err != nil {
		return fmt.Errorf("read the value from %s: %w", k.Admin, err)
	}
	return nil
}

type kvGetCommand struct{ kvKey }

// Help is the long description in --help.
func (kvGetCommand) Help() string {
	return `The value goes to standard output as it is, without a line end. Fresh and stale ones are the same here.`
}

func (kvGetCommand) manual() manual {
	return manual{examples: `weir kv get user:42
weir kv get logo > logo.png`, exit: orMissing}
}

// Run prints nothing but the value.
func (c *kvGetCommand) Run(ctx context.Context, con console) error {
	return c.fetch(ctx, con, http.MethodGet, con.out)
}

type kvHasCommand struct{ kvKey }

// Help is the long description in --help.
func (kvHasCommand) Help() string {
	return `Prints nothing, whether there is a value or not.`
}

func (kvHasCommand) manual() manual {
	return manual{examples: `weir kv has feature:dark-mode && echo on`, exit: orMissing}
}

// Run prints nothing when it can tell.
func (c *kvHasCommand) Run(ctx context.Context, con console) error {
	err := c.fetch(ctx, con, http.MethodHead, io.Discard)
	var refused *refusedError
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return errQuiet
	}
	return err
}

type kvDeleteCommand struct{ kvKey }

// Help is the long description in --help.
func (kvDeleteCommand) Help() string {
	return `The value is gone at this node when the command ends, and everywhere a moment later.`
}

func (kvDeleteCommand) manual() manual {
	return manual{examples: `weir kv delete user:42`, exit: orMissing}
}

// Run deletes what there is.
func (c *kvDeleteCommand) Run(ctx context.Context, con console) error {
	return c.fetch(ctx, con, http.MethodDelete, io.Discard)
}

// seconds is a time as the API takes it.
type seconds string

var secondsForm = regexp.MustCompile(`^(0|[1-9]\d*)(\.\d+)?$`)

// UnmarshalText parses a number of seconds.
func (s *seconds) UnmarshalText(text []byte) error {
	if !secondsForm.Match(text) {
		return fmt.Errorf("%q is no number of seconds; write 60 or 0.5", text)
	}
	*s = seconds(text)
	return nil
}

type kvSetCommand struct {
	kvKey
	Value    string   `arg:"" help:"The value; - reads it from standard input."`
	TTL      seconds  `name:"ttl" placeholder:"S" help:"Seconds that it is fresh; for ever by default."`
	Stale    seconds  `placeholder:"S" help:"Seconds after these in which it may still be used."`
	Tag      []string `sep:"none" placeholder:"TAG" help:"A tag that purges it; repeatable."`
	Metadata string   `placeholder:"JSON" help:"What is to be kept with it."`
	Type     string   `placeholder:"TYPE" help:"Its media type, such as application/json."`
}

// Help is the long description in --help.
func (kvSetCommand) Help() string {
	return `The value takes the place of what is there, and is durable when the command ends. It has at most 8 MiB.`
}

func (kvSetCommand) manual() manual {
	return manual{examples: `weir kv set user:42 '{"name": "Ann"}' --type application/json --ttl 3600 --tag users
weir kv set logo - < logo.png`, exit: ""}
}

// Run stores the value.
func (c *kvSetCommand) Run(ctx context.Context, con console) error {
	value := []byte(c.Value)
	if c.Value == "-" {
		var err error
		if value, err = io.ReadAll(io.LimitReader(con.in, kv.MaxValue+1)); err != nil {
			return fmt.Errorf("read the value from standard input: %w", err)
		}
	}
	if len(value) > kv.MaxValue {
		return fmt.Errorf("the value has more than %d MiB; store it in parts, under several keys", kv.MaxValue>>20)
	}
	query := url.Values{"tag": c.Tag}
	if c.TTL != "" {
		query.Set("ttl", string(c.TTL))
	}
	if c.Stale != "" {
		query.Set("stale", string(c.Stale))
	}
	header := http.Header{"Content-Type": nil}
	if c.Type != "" {
		header.Set("Content-Type", c.Type)
	}
	if c.Metadata != "" {
		header.Set("Weir-Metadata", c.Metadata)
	}
	path := c.path()
	if encoded := query.Encode(); encoded != "" {
		path += "?" + encoded
	}
	resp, err := c.send(ctx, con, http.MethodPut, path, bytes.NewReader(value), header)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

type kvIncrCommand struct {
	kvKey
	By  int64   `arg:"" optional:"" default:"1" help:"How much; after -- if it is negative: weir kv incr n -- -1."`
	TTL seconds `name:"ttl" placeholder:"S" help:"Seconds that the number is there, if it begins now."`
}

// Help is the long description in --help.
func (kvIncrCommand) Help() string {
	return `A number that is not there begins at 0. One that is there keeps its lifetime, so that a counter with a ttl is a
window. Numbers have 64 bits; what would leave them is refused and changes nothing.`
}

func (kvIncrCommand) manual() manual {
	return manual{examples: `weir kv incr visits:today --ttl 86400
weir kv incr stock:42 -- -1`, exit: ""}
}

// Run prints the number.
func (c *kvIncrCommand) Run(ctx context.Context, con console) error {
	order := map[string]json.RawMessage{"by": json.RawMessage(fmt.Sprint(c.By))}
	if c.TTL != "" {
		order["ttl"] = json.RawMessage(c.TTL)
	}
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	answer, err := c.ask(ctx, con, http.MethodPost, c.path()+"/incr", bytes.NewReader(body))
	if err != nil {
		return err
	}
	var count struct{ Value int64 }
	if err := json.Unmarshal(answer, &count); err != nil {
		return fmt.Errorf("the answer of %s is not what weir nodes answer: %w", c.Admin, err)
	}
	fmt.Fprintln(con.out, count.Value)
	return nil
}
