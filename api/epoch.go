package api

import (
	"net/http"
	"slices"
	"strconv"

	"weir/policy"
	"weir/rfc9111"
)

// minEpochField is the request field with the purge epoch that an answer must not be older
// than. It is for this node and those that it asks, and no origin gets it.
const minEpochField = "Cache-Min-Epoch"

var refuseEpoch = &fault{
	status: 400, code: "bad-epoch", message: "Cache-Min-Epoch is not the number of one epoch.",
	hint: "Send the epoch that a purge answered, once, in decimal digits and nothing else.",
}

// minEpoch reads a client's Cache-Min-Epoch. What cannot be read is refused: an answer that
// is older than its client asked for would be worse.
func minEpoch(h http.Header) (uint64, *fault) {
	values, ok := h[minEpochField]
	if !ok {
		return 0, nil
	}
	if len(values) != 1 {
		return 0, refuseEpoch
	}
	epoch, err := strconv.ParseUint(values[0], 10, 64)
	if err != nil || strconv.FormatUint(epoch, 10) != values[0] {
		return 0, refuseEpoch
	}
	return epoch, nil
}

// region is that of the edge that the client talks to.
func (x *exchange) region() string {
	if x.peer != nil {
		return x.peer.Region
	}
	return x.door.opts.Region
}

// pinnedElsewhere says whether other regions alone store responses of a route.
func pinnedElsewhere(plan *policy.Plan, region string) bool {
	return len(plan.Regions) > 0 && !slices.Contains(plan.Regions, region)
}

// tell sets the fields that say what happened to the request.
func (x *exchange) tell(h http.Header, d *rfc9111.Decision) {
	d.Apply(h, x.door.opts.Region)
	if x.debug {
		h.Set("Weir-Epoch", strconv.FormatUint(x.door.opts.Epoch(), 10))
	}
}
