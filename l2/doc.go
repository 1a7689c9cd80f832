// Package l2 is the disk tier: stored responses in log-structured segments, each a bbolt file of its own.
//
// It owns the segment files and their codec, checksums, the disk budget and what is dropped to keep it, recovery
// after a crash, the verification of a folder, the durable log of invalidation rules, and the values of programs.
//
// What must always hold:
//   - What was committed more than a group ago (GroupDelay and one sync) survives kill -9 and a power cut. What was torn is
//     dropped.
//   - The last write of a key and selection wins, or it is a miss: a reopened folder never shows what was replaced or
//     deleted. A segment that is lost whole (set aside, removed by hand) takes its deletes with it; the rule
//     log is a file of its own for that reason.
//   - No byte leaves before the checksum of its chunk held, and the chunk and its head said that they are what was asked for.
//     Damage is a miss, a count and a report; never a crash.
//   - The folder is at most Options.MaxBytes and one segment, everything in it counted.
//   - A full or failing disk stops storing, not serving.
//
// It must never know HTTP handlers, what is fresh, or who asks.
//
// # Segments
//
// Whoever stores hands chunks (256 KiB, zstd when it saves an eighth) and heads to one goroutine, the committer. It
// packs them into groups, and a group is one bbolt transaction: a bucket with the group's frames in one value and
// its table of contents in another. An object's chunks may lie in many segments; its head is always written after
// them. bbolt never touches the pages of a bucket again that nobody opens for writing, so the frames keep their
// file offset from the commit on. That is why readers use pread at recorded offsets for all segments, the one being
// written included: no page fault of a mapping ever blocks a processor, no transaction is held for a reader, and a
// truncated file is an error rather than a fault. A segment that is full gets a table of contents of the whole, and
// is never opened for writing again.
//
// Measured on 2 cores and a virtual disk that syncs about 300 MB/s (bench/l2rates): 93,600 objects of 1 KiB a
// second, 24,800 of 8 KiB, 6,100 of 64 KiB (400 MB/s), 230 of 1 MiB (244 MB/s), synced; 1.25 bytes written for each
// byte of a body of 1 KiB with its head and key, 1.04 at 8 KiB, 1.01 above. One bbolt key for each object of 8 KiB,
// in ascending order, gave at best 34,600 a second on an idle machine (284 MB/s). Reading whole objects: 242,000 of
// 1 KiB and 16,400 of 64 KiB a second, checksums included.
//
// # Index
//
// Memory holds 81 bytes an object: where its head is, how often it was used, when it has expired. Opening reads the
// tables of contents, not the data: 1,000,000 objects in 0.26 s, in 0.43 s after kill -9, while other programs used
// the processors too. Lines carry a sequence number, so they may be read in any order; newest first means that an
// older record is mostly just skipped.
//
// # What is dropped
//
// There are two logs, young and kept, and the oldest segment of one of them is dropped whole. New objects go to
// young, which has 15 % of the budget. What was asked for there is copied to kept before its segment is dropped;
// what was not leaves a fingerprint, and if it comes back while that is remembered it goes to kept at once. The
// oldest segment of kept is dropped after what was used since it was written is copied to kept's end, with one use
// less. Bodies longer than an eighth of young, and longer ones of unknown length, go to kept directly. This is S3-FIFO (Yang et al., SOSP 2023) with
// whole segments. At most 75 % of a segment is copied, the most used first, at three bytes for each new one, and
// near the limit new objects wait. Uses are kept over a restart.
//
// It was chosen by simulation, 32 segments, hit ratio in percent and bytes written for each byte stored:
//
//	                                web shop 2013-07 (1, 5, 20 %)       recommendations (1, 5, 20 %)
//	LRU                             39.2       50.6       61.0          34.7       51.7       69.5
//	one log, FIFO                   36.2 1.00  47.8 1.00  58.6 1.00     31.7 1.00  48.1 1.00  65.9 1.00
//	one log, one use, carry 75 %    39.7 1.32  51.1 1.34  61.4 1.37     35.6 1.24  52.0 1.36  69.6 1.59
//	one log, three uses, 50 %       40.7 1.39  52.1 1.45  61.9 1.46     36.7 1.32  52.6 1.48  69.4 1.49
//	one log, three uses, 75 %       40.8 1.45  52.2 1.50  62.0 1.51     36.9 1.35  52.6 1.49  69.9 1.84
//	the same with fingerprints      41.2 1.51  52.4 1.59  62.1 1.64     37.5 1.44  53.2 1.67  70.3 2.05
//	two logs, no fingerprints       42.5 1.29  53.4 1.31  62.6 1.29     40.7 1.17  53.1 1.24  68.5 1.42
//	two logs, young 5 %             41.9 1.28  53.7 1.33  62.8 1.31     41.5 1.23  55.3 1.37  69.6 1.51
//	two logs, young 15 % (this)     43.1 1.32  53.9 1.35  62.8 1.34     41.7 1.24  55.2 1.38  70.3 1.60
//	two logs, young 20 %            43.1 1.32  53.9 1.36  62.8 1.34     41.5 1.25  55.1 1.39  70.4 1.62
//
// The store itself, which pays for pages, heads and tables out of the same budget (bench/hitratio; 64 to 410 MiB,
// so segments of 2 to 13 MiB): 41.7, 53.5, 62.3 and 41.4, 54.6, 70.1.
//
// Two logs have a price. A newer record may leave its log before an older one leaves the other, so whoever replaces
// a record of the other log leaves a tombstone there, and a delete leaves one in both. Within a log the oldest goes
// first, so a tombstone can go with its segment: nothing older is left by then.
//
// # Values
//
// Values of programs ([Values]) are in values.db, a bbolt file with a budget and a lock of its own, in the same folder or
// in one without a store. Those who write at the same time share a transaction: one goroutine, the writer, calls
// their functions one after another and writes what they leave, so a thousand increments of one counter are one
// record. What was acknowledged survives kill -9 and a power cut; a commit that is not synced yet is not read.
//
// bbolt never gives a page back and uses free ones again, so the file grows to its budget and no further: before a
// transaction enough pages must be free for the worst it can do (5 % of a large budget, 15 % of the smallest), or old
// values go. For that values lie in the order in which they were written. With keys in random order, removing some leaves holes
// in many pages and frees none; in order of time the oldest share pages that are freed with them. What has expired
// goes first, then the oldest that nobody read since; what was read is written once more at the end. While more than a quarter of the file is holes,
// nothing goes but is written once more. Bodies are cut so that hardly a page is longer than 4 KiB: a file that is full of
// small values has room for a large one without free pages in a row.
//
// A value that does not check out is missing, counted and reported. A file that bbolt cannot work with is replaced
// by a new one with all of it that can be read, value by value; the old one is kept as bad-values.db when the budget has
// room for both. A file that is longer than a budget that was made smaller is written anew too. Numbers of updates
// never repeat: blocks of them are set aside durably before they are given, and a new file begins with the microseconds
// of the clock.
//
// Measured on 2 cores that ten other programs used, with a disk that took 2 ms for a sync (BenchmarkValuesUpdate): 225
// updates a second of one writer, 3,500 of 1 KiB and 1,450 of 8 KiB of a hundred, 65 to a transaction.
package l2
