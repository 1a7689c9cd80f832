package peer_test

import (
	"testing"
	"time"

	"weir/api/peer"
)

// An edge whose clock is put back does not take what it holds for younger than it is.
func TestTimesOfAReplyAreMonotonic(t *testing.T) {
	asked := time.Now()
	r := fullReply()
	r.Head.RequestTime = r.Came.Add(-time.Minute)
	peer.Shift(r, asked)
	if got := r.Head.RequestTime; got.Round(0) == got || asked.Sub(got) != time.Minute {
		t.Errorf("%v, asked at %v", got, asked)
	}
}
