package metrics

import (
	"weir/api"
	"weir/api/peer"
)

// NodeStats are about purges, and how a node gets along with others.
type NodeStats struct {
	Epoch   uint64            // of the purges that hold here
	Purges  map[string]uint64 // what orders named here, by kind
	Regions []api.RegionState // of a shield: who follows its purges
	Parent  *peer.Stats       // of an edge, otherwise nil
}

var (
	epoch     = gauge("purge_epoch", "Epoch of the purges that hold here.")
	purged    = counter("purges_total", "Tags, URLs and so on that were purged through the admin API, by kind.", "kind")
	followers = gauge("followers", "Nodes of a region that follow the purges of this shield.", "follower")
	lag       = gauge("follower_lag_epochs", "Epochs that the slowest node of a region is behind.", "follower")
	stream    = gauge("shield_stream_up", "1 while this edge follows the purges of its shield.")
	silence   = gauge("shield_silence_seconds", "Time since this edge knew last that no purge was missing.")
	catchUps  = counter("purge_catchups_total", "Questions to the shield what was purged.")
	asked     = counter("shield_requests_total", "Requests to the shield.")
	askAgain  = counter("shield_retries_total", "Requests sent to the shield again.")
	resumedUp = counter("shield_resumes_total", "Bodies from the shield that went on after they were cut off.")
	fallbacks = counter("shield_fallbacks_total", "Requests that went to the origin because the shield did not answer.")
	blind     = counter("l1_blind_total", "Requests that memory did not answer because purges may have been missed.")
)

func (out sink) nodes(s NodeStats) {
	send(out, epoch, s.Epoch)
	for kind, n := range s.Purges {
		send(out, purged, n, kind)
	}
	nodes, behind := map[string]int{}, map[string]uint64{}
	for _, r := range s.Regions {
		nodes[r.Region] += truth(r.Connected)
		if r.Connected {
			behind[r.Region] = max(behind[r.Region], s.Epoch-min(r.Epoch, s.Epoch))
		}
	}
	for region, n := range nodes {
		send(out, followers, n, region)
	}
	for region, n := range behind {
		send(out, lag, n, region)
	}
	if p := s.Parent; p != nil {
		send(out, stream, truth(p.Stream))
		send(out, silence, int64(p.Silence))
		send(out, catchUps, p.CatchUps)
		send(out, asked, p.Fetches)
		send(out, askAgain, p.Retries)
		send(out, resumedUp, p.Resumed)
	}
}
