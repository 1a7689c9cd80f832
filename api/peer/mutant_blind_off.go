//go:build !mutant_blind

package peer

// neverBlind has the law about edges without a stream broken, to see that tests notice.
const neverBlind = false
