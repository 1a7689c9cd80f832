package weir_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"weir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a cache for a test.
func open(t testing.TB, o weir.Options) *weir.Cache {
	t.Helper()
	if o.Report == nil {
		o.Report = func(err error) { t.Errorf("reported: %v", err) }
	}
	c, err := weir.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// noReport is for tests in which something is to be reported.
func noReport(error) {}
