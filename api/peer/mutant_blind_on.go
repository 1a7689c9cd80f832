//go:build mutant_blind

package peer

const neverBlind = true
