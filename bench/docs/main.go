// Command docs is one half of a trial on real traffic; run.sh is the other.
//
//	docs ports                          prints three free addresses on loopback
//	docs tree DIR                       writes a documentation tree of the Go standard library
//	docs compare -tree DIR ORIGIN WEIR  requests every file from both and compares the answers
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("give a command: ports, tree or compare")
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	switch args[0] {
	case "ports":
		return ports(ctx)
	case "tree":
		_ = flags.Parse(args[1:]) // exits on an error
		if flags.NArg() != 1 {
			return errors.New("tree: give the folder to write")
		}
		return writeTree(flags.Arg(0))
	case "compare":
		var c comparison
		flags.StringVar(&c.tree, "tree", "", "folder that the origin serves")
		flags.StringVar(&c.name, "name", "pass", "what the row of the table says")
		flags.StringVar(&c.expect, "expect", "", "x-cache that every file must have")
		flags.BoolVar(&c.coded, "coded", false, "accept gzip through weir, and compare what is decoded")
		_ = flags.Parse(args[1:])
		if flags.NArg() != 2 {
			return errors.New("compare: give the base URLs of the origin and of weir")
		}
		c.origin, c.weir = flags.Arg(0), flags.Arg(1)
		return c.run(ctx)
	}
	return fmt.Errorf("%s: no such command", args[0])
}

// ports prints addresses that nobody listens on at the moment.
func ports(ctx context.Context) error {
	for range 3 {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer ln.Close()
		fmt.Print(ln.Addr(), " ")
	}
	fmt.Println()
	return nil
}
