// Package rfc9111 holds the stored response and every verdict on it: storable,
// fresh, reusable, the stale windows, Vary, updates by 304, invalidation,
// hop-by-hop fields, conditional and range requests, Cache-Status. RFC 9110, 9111,
// 5861, 8246, 9211 and 9213 are cited at the lines they decide.
//
// What must always hold:
//   - Every verdict is pure: values in, verdict out, inputs are not edited, and
//     now is a parameter.
//   - A [Response] is frozen once a tier holds it; whoever wants to change one
//     makes a copy.
//
// It must never know clocks, I/O, logs, the policy file or keys.
package rfc9111
