// Package simnet is a network in memory for tests of several nodes: hosts with names,
// links with delays between them, and everything that goes wrong on links.
//
// It owns connections that behave as those of TCP do as far as HTTP can tell: bytes
// arrive in order, after the link's delay; buffers are bounded, so who stops reading
// stops the writer; deadlines, half closes and resets work.
//
// What must always hold:
//   - No byte is lost, made up or out of order within a connection. What is on its way
//     when a link goes silent comes after the link is healed, or the connection is reset.
//   - It has no goroutines of its own. All waiting is on channels and timers, so that it
//     runs in a testing/synctest bubble in virtual time, and outside of one in real time.
//   - The same seed gives the same delays, as far as connections are opened and written
//     to in the same order.
//
// It must never know HTTP, nodes or caches, and production code never imports it.
package simnet
