package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"weir/policy"
)

// TestMistakes compiles every file in testdata/mistakes and compares all that is
// said about it.
func TestMistakes(t *testing.T) {
	everyMistake(t, func(topic string, all []mistake) {
		for i := range all {
			m := &all[i]
			_, err := policy.Compile(m.name+".json", m.src)
			if err == nil {
				t.Errorf("%s/%s is accepted", topic, m.name)
				continue
			}
			said := err.Error() + "\n"
			if *update {
				m.errors = said
			}
			if said != m.errors {
				t.Errorf("%s/%s\ngot:\n%swant:\n%s", topic, m.name, said, m.errors)
			}
			checkErrors(t, m.name+".json", err)
		}
	})
}

// checkErrors checks what holds for all errors.
func checkErrors(t *testing.T, file string, err error) {
	t.Helper()
	var all policy.Errors
	if !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("%s: %T is not Errors", file, err)
	}
	for _, e := range all {
		if e.File != file || e.Line < 1 || e.Column < 1 || e.Message == "" {
			t.Errorf("%s: incomplete error %+v", file, e)
		}
	}
	if !slices.IsSortedFunc(all, func(a, b policy.Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	}) {
		t.Errorf("%s: not sorted:\n%v", file, all)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(all) {
		t.Errorf("%s: %d lines for %d errors", file, len(lines), len(all))
	}
}
