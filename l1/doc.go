// Package l1 is one region's memory tier: whole small objects under a byte
// budget, answered without asking anybody.
//
// It owns what is held in memory and for how long it is worth its room, the
// variants under a key, the check of an object's epoch, and what content coding each
// client gets, whoever answers. Beside that, and with a budget of its own, it has the
// memory for values of programs, [Values], which knows nothing of what they are.
//
// What must always hold:
//   - The cost of everything held, coded and decoded bodies and bookkeeping
//     included, never exceeds the budget, whatever clients do.
//   - Full key bytes are compared on every look-up.
//   - Held objects never change. A store makes a new entry and puts it in the
//     place of the old one; readers keep what they have.
//   - A fill can be seen when [Tier.Filled] returns. Concurrent fills of one key
//     lose none of its variants.
//   - Nothing is answered from memory unless its epoch was compared with the
//     purge log's in the same request.
//   - While purges may have been missed, nothing is answered from memory that may be older
//     than what is known, neither in place of a failure. What a soft purge names is stale
//     from the first look at it, and its windows begin then.
//   - A stale object is answered with only inside its windows, and each such
//     answer asks the next tier for a refresh.
//   - No client gets content in a coding that it does not accept as long as it can be
//     decoded, and none gets decoded content that is not whole without an error.
//   - Decoding is bounded in bytes, ratio and memory, whatever an origin sends.
//   - [Tier.Hit] finds what Fetch would answer with, or nothing. It leaves to Fetch whatever is
//     stale or purged, is still to be coded, or depends on more of a request than its key and the
//     codings that it accepts.
//
// With the open head of an object that was hit its [ReadyHead] is kept, the head as it is sent, by two plans
// at most: GET and HEAD may be of different routes. It counts in the budget.
//
// # How entries live
//
// An entry, which is all variants of one key, begins in the young lane, a list in order of
// arrival that is cut to 10 % of the budget when there is no room. What was used twice by then
// moves to ristretto, the main store, and so does what gave way a short while ago and has come
// back; the rest gives way. What is kept has a list of its own, in which each use, of three at
// most, is worth another round. Entries of twice the mean size need one use more for either,
// those of four times two: for the same bytes many others could be held. A response that another
// tier held before has one use to begin with. What is stored anew keeps its standing. This is
// S3-FIFO (Yang et al., SOSP 2023), with sizes.
//
// The order is this package's own, and ristretto, which has room for all of it, is never
// made to choose: its admission by frequency turns away new objects as long as the old ones
// were used more often, and it evicts the least of five samples. It also stores late, while an
// entry in the young lane can be seen at once.
//
// Measured with bench/memory on two public traces, hit ratio in %, at 1, 5 and 20 % of the
// trace's keys, of this, of an exact LRU list of as many bytes, and of W-TinyLFU (otter v2):
//
//	a web shop           43.4 38.9 42.3   54.1 50.5 53.1   62.3 61.0 59.4
//	recommendations      42.3 34.6 42.1   55.6 51.6 54.5   69.7 69.4 66.4
//
// Ristretto behind a list of new objects that has 30 % of the budget, as this was once: 40.7, 52.6, 62.2 and 37.4,
// 53.6, 68.8; ristretto alone, on the first, 29.7, 45.1 and 56.5.
//
// Ristretto is only ever given keys that it does not hold, by one writer, who
// waits. That is not a matter of taste: concurrent Sets are dropped, the second of
// two quick Sets of a key is lost, and a Set of a held key skips the check of its
// cost. An entry that changes moves to the young lane instead, and the old one is deleted.
// Clear of ristretto is not used: it must not meet traffic.
//
// # What an entry costs
//
// What the collector follows costs time again and again while memory is full. So an object is three pieces: its body, one
// string of its key and packed head, and the rest with its entry; and maps and lists have numbers in the place of
// pointers. Six pieces and pointers in all maps took 105 ms of a processor for a collection of 140,000 objects, this takes 62.
//
// The head of an object is held packed, with numbers for common field names. When it is
// asked for it is unpacked and stays open, with the heads that are made of it for sending, until there is no room
// and it was not asked for since the others were (CLOCK): what is asked for often stays open while many others are
// asked for once. Open heads have 4 % of the budget of their own, which objects leave to them. 1 KiB of
// body with 300 bytes of head takes about 350 bytes of heap beyond its payload while the entry is young, and 470 to
// 540 in ristretto, whose own tables are 170 to 220 of that. With a parsed Header in every object it was 900 to 1,100.
//
// # Bodies in files
//
// On Linux a body of 128 KiB and more that is sent often lies in a [BodyFile] as well, a file in memory, from which the
// kernel sends its pages as they are: a hit of 256 KiB takes two thirds of the CPU time that copying it from the heap takes, and
// over 1,000 connections, whose buffers are never in the processor's cache, likewise. Files have 12 % of the budget at
// most, and [Options].MaxFiles, since each has a descriptor; objects give way to them, and they to each other as long as one has not been
// used. A file goes with the open head of its object, even while it is being sent: the body in the heap is the same.
//
// # Values
//
// A look-up in [Values] takes no lock, allocates nothing, and writes only to a counter that few share: about 50 ns of a
// processor, and as much for each of several that read one key (BenchmarkValuesGet). So the table is this package's
// own: a map behind a lock has its readers wait for each other's processor. Beside its key and the bytes that the
// caller counts a value costs 80 bytes and 11 to 16 of the table.
//
// # Content codings
//
// On routes with compress all clients share a key, and origins are asked for every
// coding spoken here: br, gzip, zstd. A client gets
//
//   - what is stored, where it accepts that coding; plain content only until there is
//     a coded form of it;
//   - another form of a small object. Plain content of a type and size that are worth it
//     is coded in the background of the first answer, once per coding, in the coding that
//     the client likes best (zstd, br, gzip where it likes several alike). Coded content
//     is decoded at once, and then coded again in the background. Forms are kept beside the
//     object, count in the budget, and outlive a refresh that brings the same bytes;
//   - a decoded stream, without a length and without ranges, of what is not held here or
//     is longer than an object may be when it is decoded. Plain content that is not held
//     here is never coded.
//
// Neither is done where the response or the request says no-transform, for responses with a
// digest of their bytes and for parts of one; nor is any other coding touched, or several
// at once. What does not fit a client then is not answered with: the next tier has it ask alone.
//
// Each form is a representation of its own. The stored bytes alone have the strong entity
// tag, and ranges are cut from them where the client accepts their coding, otherwise from
// the decoded ones. A date in If-Range names no bytes where there may be several forms.
//
// A decoded body may have 16 GiB, and 100 times the coded bytes once it has passed 1 MiB. A
// decoder counts with the most that it can need: 64 KiB for gzip, the window and 1 MiB for zstd, the
// window and 4 MiB for br; windows have 8 and 16 MiB at most. [Options].DecoderRoom bounds all of them. A quarter of
// it is for what is decoded in memory, so that slow clients of streams keep nobody from that. A request for
// which there is no room waits for two seconds and fails with ErrBusy, before its client has got anything.
//
// Levels, measured by BenchmarkEncode on source text (MB/s, share that is left): zstd at its
// default level 50 to 95, 33 to 45 %; gzip 6 45 to 55, 32 to 44 %; br 5 10 to 12, 30 to 42 %. At
// br 4 nearly the same time leaves 6 % more, and at 6 it leaves the same. zstd comes first because
// each refresh that brings new bytes costs a coding; br is what most who lack zstd have.
//
// It must never know bbolt, origins, or how routes match.
package l1
