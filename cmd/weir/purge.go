package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"weir/shield"
)

// purgeCommand has a node purge.
type purgeCommand struct {
	Tag    []string `sep:"none" placeholder:"TAG" help:"Everything with this tag; repeatable, as all that name something."`
	URL    []string `name:"url" sep:"none" placeholder:"URL" help:"This URL: all variants and everything that its route's key tells apart."`
	Prefix []string `sep:"none" placeholder:"URL" help:"Every URL that begins with this, byte for byte."`
	Host   []string `sep:"none" placeholder:"HOST" help:"Everything of this host; HOST:PORT for another port than the usual."`
	Key    []string `sep:"none" placeholder:"KEY" help:"What is stored under this key: 32 hex digits, as the access log has them."`
	All    bool     `help:"Everything."`

	Soft   bool `help:"Make it stale instead: the next use is answered with it and refreshes it, where the route allows that."`
	DryRun bool `help:"Purge nothing, count what would be."`
	JSON   bool `name:"json" help:"Print the node's answer as it is."`
	nodeFlags
}

// Help is the long description in --help.
func (purgeCommand) Help() string {
	return `All that is named goes together, in one step. The answer says since which epoch the purge is in force, and for each
region how long it took until the region had applied it: every request that comes there later sees it. A region
that did not answer in time is pending: it serves nothing from before the purge once it is back, and for at most
purge.maxBlindSeconds of the policy and one answer in progress if it is cut off.`
}

func (purgeCommand) manual() manual {
	return manual{
		examples: `weir purge --tag product:42 --tag products
weir purge --url 'http://shop.example/products/42?lang=de'
weir purge --host shop.example --soft
weir purge --prefix http://shop.example/img/ --dry-run`,
		exit: "0 done, with a warning for pending regions; 1 failed, and nothing is known to hold; 2 wrong usage",
	}
}

// order is what the flags say.
func (c *purgeCommand) order() shield.PurgeOrder {
	return shield.PurgeOrder{
		Tags: c.Tag, URLs: c.URL, Prefixes: c.Prefix, Hosts: c.Host, Keys: c.Key,
		All: c.All, Soft: c.Soft, DryRun: c.DryRun,
	}
}

// Run sends the order and prints what became of it.
func (c *purgeCommand) Run(ctx context.Context, con console) error {
	order := c.order()
	if _, err := shield.Rules(nil, order); err != nil {
		text := strings.TrimPrefix(err.Error(), shield.ErrOrder.Error()+": ")
		return usageError{advised{errors.New(text), "weir purge --help lists what can be named."}}
	}
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	answer, err := c.ask(ctx, con, http.MethodPost, "/v1/purge", bytes.NewReader(body))
	if err != nil {
		return err
	}
	var report shield.PurgeReport
	if err := json.Unmarshal(answer, &report); err != nil {
		return fmt.Errorf("the answer of %s is not what weir nodes answer: %w", c.Admin, err)
	}
	if c.JSON {
		_, err = con.out.Write(answer)
	} else {
		err = c.print(con.out, &report)
	}
	if len(report.Pending) > 0 {
		fmt.Fprintf(con.err, "weir purge: pending in %s; what is from before the purge is not served there once they are back\n", strings.Join(report.Pending, ", "))
	}
	return err
}

// print writes a report for people.
func (c *purgeCommand) print(w io.Writer, report *shield.PurgeReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	done := "purged"
	switch {
	case c.DryRun:
		done = "would be purged"
	case c.Soft:
		done = "stale"
	}
	matched := "what is named, not counted"
	if report.Matched != nil {
		matched = fmt.Sprintf("%d stored objects", *report.Matched)
	}
	fmt.Fprintf(t, "%s\t%s\n", done, matched)
	fmt.Fprintf(t, "epoch\t%d\n", report.Epoch)
	for i, r := range report.Regions {
		name := ""
		if i == 0 {
			name = "regions"
		}
		fmt.Fprintf(t, "%s\t%s after %d ms\n", name, r.Region, r.AppliedMs)
	}
	for i, region := range report.Pending {
		name := ""
		if i == 0 {
			name = "pending"
		}
		fmt.Fprintf(t, "%s\t%s\n", name, region)
	}
	return t.Flush()
}
