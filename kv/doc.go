// Package kv keeps values of programs under keys: sessions, query results, counters, flags.
// It is for values what the tiers are for responses: the shield's [Keeper] has them on disk
// and orders all writes, every [Edge] remembers what it read, and the purge log tells
// edges what they may not use any more.
//
// What must always hold:
//   - A write is durable before it is acknowledged, and what was acknowledged is not lost. What
//     was not acknowledged may have happened, once.
//   - Writes of one key happen one after another, each to what the one before it left. Counters
//     count right whoever counts where.
//   - After a write is acknowledged the node it went through never shows what was before it, and
//     all others learn of it by the purge log.
//   - Missing, expired, deleted, evicted and purged are the same: [ErrMissing].
//   - Purges of a tag name values that have it. Purges of URLs, hosts and of everything are about
//     responses alone: nobody loses a session because pages are purged.
//
// It must never know HTTP, bbolt, or what values mean.
package kv
