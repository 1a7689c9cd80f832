package shield

import (
	"context"
	"errors"

	"weir/policy"
	"weir/rfc9111"
)

// ErrParent means that the shield of all regions did not answer, and that nothing came
// of the request: it may be sent elsewhere.
var ErrParent = errors.New("shield: the parent cannot be reached")

// Parent is the tier that a node without a store of its own asks: the shield of all
// regions. Its methods are called concurrently.
type Parent interface {
	// Fetch answers req as [Shield.Fetch] does. The answer's head has the times of this
	// node's clock and the epoch of its fill. An error that wraps [ErrParent] says that
	// the request may be sent elsewhere, and that its Stream was not read.
	Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error)
}
