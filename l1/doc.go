// Package l1 is one region's memory tier: whole small objects under a byte
// budget, answered without asking anybody.
//
// It owns what is held in memory and for how long it is worth its room, the
// variants under a key, the check of an object's epoch, and the coded bodies that
// are kept beside identity ones for clients that accept a coding.
//
// What must always hold:
//   - The cost of everything held, coded bodies and bookkeeping included, never
//     exceeds the budget, whatever clients do.
//   - Full key bytes are compared on every look-up.
//   - Held objects never change. A store makes a new entry and puts it in the
//     place of the old one; readers keep what they have.
//   - A fill can be seen when [Tier.Filled] returns. Concurrent fills of one key
//     lose none of its variants.
//   - Nothing is answered from memory unless its epoch was compared with the
//     purge log's in the same request.
//   - A stale object is answered with only inside its windows, and each such
//     answer asks the next tier for a refresh.
//
// # How entries live
//
// An entry, which is all variants of one key, begins in the window, a list in order
// of arrival that takes 30 % of the budget. What is used there gets another round.
// What leaves the window is offered to ristretto, which has the rest of the budget
// and admits by frequency. The window is there because ristretto alone turns away
// new objects as long as the old ones were used more often, and because it stores
// late: an entry in the window can be seen at once.
//
// Measured with bench/memory on two public traces, hit ratio in % against an exact
// LRU list of as many objects, at 1, 5 and 20 % of the trace's keys:
//
//	a web shop           40.7 (39.0)   52.6 (50.5)   62.2 (61.0)
//	recommendations      37.4 (34.7)   53.6 (51.6)   68.8 (69.4)
//
// and without the window, on the first, 29.7, 45.1 and 56.5.
//
// Ristretto is only ever given keys that it does not hold, by one writer, who
// waits. That is not a matter of taste: concurrent Sets are dropped, the second of
// two quick Sets of a key is lost, and a Set of a held key skips the check of its
// cost. An entry that changes moves to the window instead, and the old one is deleted.
// Clear of ristretto is not used: it must not meet traffic.
//
// It must never know bbolt, origins, or how routes match.
package l1
