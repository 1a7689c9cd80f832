// Package simulation judges many nodes together: edges and a shield, with the real
// tiers and the real protocol between them, on a network in memory and in virtual time.
//
// It owns the tests that need more than one node: how fast purges propagate over 28
// regions, how many requests of a crowd reach the origin, what a purge is worth while
// nodes are cut off or dead, and a checker that does random operations and knows from a
// small model what may never be seen; and what becomes of values of programs that are
// written at one edge and read at others. Everything in it is a test.
//
// The checker takes its seed and its length from the environment:
//
//	WEIR_SEED=7 WEIR_OPERATIONS=100000 go test -run TestChecker ./cmd/weir/simulation
//
// The tests of values have lengths of their own, of each key or each of 100 clients:
//
//	WEIR_CHAPTERS=600 go test -run TestPushedValuesAreNeverOld ./cmd/weir/simulation
//	WEIR_INCREMENTS=1000 WEIR_WRITES=100 go test -run 'TestACrowdCounts|TestAcknowledged' ./cmd/weir/simulation
//
// A violation is printed with the law, and with what happened to the URL before. Build
// tags break the nodes on purpose, so that the checker is seen to fail: mutant_late_epoch,
// mutant_early_ack, mutant_blind.
//
// It must never know how a node does what it promises.
package simulation
