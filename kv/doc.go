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
//     responses alone: nobody loses a session because pages are purged. What a soft purge
//     names is stale, and there for as long as it was.
//
// How an edge stays right. A value carries the epoch of the purge log from before it was read
// from the disk, and a write is a rule with an epoch from after it is on disk. So a rule that
// is later than a value's epoch is the only sign that it may be old, and no value that was
// read after a write has an earlier epoch than that write's rule once an edge has heard of it.
// Absence is remembered with the edge's own epoch from before it asked, which is no later.
//
// How values spread. A write of a small value goes to edges with what the key holds by then, read
// anew when it is sent, so that a reader far away need not ask. [Edge.Take] puts it where somebody
// has asked for the key: elsewhere it is not kept. It is as good as a read: its
// epoch is from before it was read from the disk, and rules name it or do not. But it comes without
// a question, so it may be older than what is known here: an edge takes it only when its epoch is
// no earlier than that of its own last write of the key, and later than those of the answers that it
// has had about the key, those that say no to a write included. What is not sent, or refused, is read as if nobody had sent anything.
//
// How values end. Where the record of tags becomes coarse, because more than a hundred
// thousand were purged, a value may go with a tag that it does not have. Where a purge log is
// lost nobody knows which tags were purged: values with tags go, values without stay.
//
// It must never know HTTP, bbolt, or what values mean.
package kv
