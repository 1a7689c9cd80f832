package main

import (
	"errors"
	"fmt"
	"io/fs"

	"weir/l2"
)

// verifyCommand reads a data folder from end to end.
type verifyCommand struct {
	Data string `default:"weir-data" placeholder:"FOLDER" help:"The data folder (default: ${default})."`
}

// Help is the long description in --help.
func (verifyCommand) Help() string {
	return `Reads every record, every body and every value, checks their checksums, and changes nothing. Exit status 1 when something
is damaged; a node on that folder would leave the damaged part out and serve the rest.`
}

func (verifyCommand) manual() manual {
	return manual{
		examples: `weir verify
weir verify --data /var/lib/weir`,
		exit: "0 all is right; 1 something is damaged, or the folder cannot be read; 2 wrong usage",
	}
}

// Run prints what is in the folder, and each damage on standard error.
func (c *verifyCommand) Run(con console) error {
	found, err := l2.Verify(c.Data)
	if err != nil {
		return folderAdvice(c.Data, err)
	}
	fmt.Fprintf(con.out, "%s: %d objects in %d segments; %d bodies with %d bytes read and right\n",
		c.Data, found.Objects, found.Segments, found.Bodies, found.Bytes)
	if found.Values > 0 {
		fmt.Fprintf(con.out, "%s: %d values read and right\n", c.Data, found.Values)
	}
	for _, d := range found.Damage {
		fmt.Fprintf(con.err, "%s: %s\n", d.Where, d.What)
	}
	if n := len(found.Damage); n > 0 {
		fmt.Fprintf(con.err, "%s: %d damaged parts; a node would leave them out\n", c.Data, n)
		return errQuiet
	}
	return nil
}

// folderAdvice says what to do about a data folder that cannot be opened.
func folderAdvice(folder string, err error) error {
	failed := fmt.Errorf("data folder %s: %w", folder, err)
	switch {
	case errors.Is(err, l2.ErrLocked):
		return advised{fmt.Errorf("data folder %s is in use by another process", folder), "Stop the weir that uses it, or name another folder with --data."}
	case errors.Is(err, l2.ErrOptions):
		return usageError{advised{failed, "Give it more with --l2-size."}}
	case errors.Is(err, fs.ErrPermission):
		return advised{failed, "The user that runs weir must own the folder. Name another one with --data, or change its owner."}
	case errors.Is(err, fs.ErrNotExist):
		return advised{failed, "Name the folder with --data."}
	case errors.Is(err, l2.ErrDamaged):
		return advised{failed, "weir verify says what is damaged. Without the folder, weir starts with an empty cache."}
	}
	return failed
}
