// Package l2 is the disk tier: stored responses in log-structured segments, each a bbolt file of its own.
//
// It owns the segment files and their codec, checksums, the disk budget and what is dropped to keep it, recovery
// after a crash, the verification of a folder, and the durable log of invalidation rules.
//
// It must never know HTTP handlers, what is fresh, or who asks.
package l2
