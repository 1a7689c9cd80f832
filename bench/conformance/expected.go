package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// The list has a line per test, in the order of the ids: "id kind outcome".

func writeExpected(file string, outcomes []outcome) error {
	list := make([]string, 0, len(outcomes))
	for _, o := range outcomes {
		list = append(list, fmt.Sprintf("%s %s %s\n", o.ID, o.Kind, o.Outcome))
	}
	slices.Sort(list)
	return os.WriteFile(file, []byte(strings.Join(list, "")), 0o644)
}

func readExpected(file string) (map[string]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	want := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		id, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			return nil, fmt.Errorf("%s: %q is not a test and its outcome", file, line)
		}
		want[id] = rest
	}
	return want, nil
}

// surprising says whether an outcome differs from the list.
func surprising(file string, outcomes []outcome) (bool, error) {
	want, err := readExpected(file)
	return slices.ContainsFunc(outcomes, func(o outcome) bool { return want[o.ID] != o.Kind+" "+o.Outcome }), err
}

// settled takes of two runs what the list says where one of them says so: some tests hang
// on a second that ends while they run.
func settled(file string, first, second []outcome) ([]outcome, error) {
	want, err := readExpected(file)
	if err != nil {
		return nil, err
	}
	again := make(map[string]outcome)
	for _, o := range second {
		again[o.ID] = o
	}
	out := slices.Clone(first)
	for i, o := range out {
		if other, ok := again[o.ID]; ok && want[o.ID] == other.Kind+" "+other.Outcome {
			out[i] = other
		}
	}
	return out, nil
}

// compare prints every difference from the list and fails if there is one. A better
// outcome is a difference, too: the list says what holds, and from then on it must.
func compare(file string, outcomes []outcome) error {
	want, err := readExpected(file)
	if err != nil {
		return err
	}
	changed := false
	for _, o := range outcomes {
		now := o.Kind + " " + o.Outcome
		then, ok := want[o.ID]
		if !ok {
			then = "not listed"
		}
		if now != then {
			changed = true
			fmt.Printf("%s: was %s, is %s %s\n", o.ID, then, now, o.Why)
		}
		delete(want, o.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		changed = true
		fmt.Printf("%s: was %s, is not in the suite\n", id, want[id])
	}
	if changed {
		return errors.New("outcomes changed; if every change is right, -update writes them down")
	}
	return nil
}
