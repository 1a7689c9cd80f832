package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"weir/api"
)

// explainCommand has a node explain what becomes of a request.
type explainCommand struct {
	URL    string   `arg:"" name:"URL" help:"Of the request, absolute."`
	Header []string `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"A header field of the request; repeatable."`
	Method string   `short:"X" default:"GET" placeholder:"METHOD" help:"Its method (default: ${default})."`
	Data   string   `short:"d" placeholder:"CONTENT" help:"Its content; give a method with it."`
	Fetch  bool     `help:"Ask the origin what it would answer, and explain that too. Nothing is stored."`
	All    bool     `help:"Print rules that do not hold, too, and all routes before the one that matches."`
	JSON   bool     `name:"json" help:"Print the node's answer as it is."`
	nodeFlags
}

// Help is the long description in --help.
func (explainCommand) Help() string {
	return `Tells which route matches and why those before it do not, what the key is made of, what memory and disk hold under it,
which rules let a response be stored and which do not, what would be answered now, and what would have it answered
from the cache. The node comes to that with the code that answers clients; nothing is stored, refreshed or
counted, and without --fetch no origin is asked. The request has the fields that are given: browsers send
more of them, Accept-Encoding and Cookie above all. At an edge it says what the edge holds; ask the shield for the rest.

Values of fields are in no log.`
}

func (explainCommand) manual() manual {
	return manual{examples: `weir explain https://shop.example/p/42
weir explain https://shop.example/p/42 -H 'Cookie: currency=EUR' --fetch
weir explain https://shop.example/search -X POST -d shoes --json`}
}

// Run asks the node and prints what it says.
func (c *explainCommand) Run(ctx context.Context, con console) error {
	q := api.Question{URL: c.URL, Method: c.Method, Header: c.Header, Body: c.Data, Fetch: c.Fetch}
	if err := q.Check(); err != nil {
		return asQuestionError(err)
	}
	query := url.Values{"url": {c.URL}, "method": {c.Method}, "header": c.Header}
	if c.Data != "" {
		query.Set("body", c.Data)
	}
	if c.Fetch {
		query.Set("fetch", "1")
	}
	answer, err := c.get(ctx, con, "/v1/explain?"+query.Encode())
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = con.out.Write(answer)
		return err
	}
	var x api.Explanation
	if err := json.Unmarshal(answer, &x); err != nil {
		return fmt.Errorf("the answer of %s is not what weir nodes answer: %w", c.Admin, err)
	}
	return printExplanation(con.out, &x, c.All)
}

// asQuestionError is a mistake in the question as wrong usage.
func asQuestionError(err error) error {
	text, advice := api.WhatIsWrong(err)
	return usageError{advised{fmt.Errorf("%s", text), advice}}
}
