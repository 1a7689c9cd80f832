package policy_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write what the golden files should hold")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
