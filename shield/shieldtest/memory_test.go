package shieldtest_test

import (
	"testing"

	"weir/shield"
	"weir/shield/shieldtest"
)

func TestMemory(t *testing.T) {
	shieldtest.TestStore(t, func(*testing.T) shield.Store { return &shieldtest.Memory{} })
}
