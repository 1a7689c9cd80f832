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
//   - Header maps have canonical names, as net/http makes them.
//
// It must never know clocks, I/O, logs, the policy file or keys.
//
// # Where the RFCs leave a choice
//
//   - Lifetimes come from the route, then the first valid one of weir-cache-control and
//     cdn-cache-control, then s-maxage, max-age, Expires. Nothing is guessed
//     unless [Rules].Heuristic asks for it, and never for a request with cookies.
//   - A lifetime that is malformed, or given twice with two values, is 0. A
//     restrictive directive counts however badly it is written.
//   - A route's lifetime counts from arrival and replaces the origin's, with an
//     unqualified no-cache. It replaces must-revalidate only together with a stale window of the
//     route. [Rules].ForcePrivate lifts private and no-store. Nothing lifts
//     Set-Cookie, Vary: * and the rule for Authorization.
//   - Errors are stored only by [Rules].StatusLifetimes; 206 never.
//   - stale-while-revalidate and stale-if-error work beside s-maxage, which forbids stale reuse
//     only where neither is given.
//   - private and no-cache with field names count as unqualified when one of the
//     fields is there, and not at all when none is.
//   - A 304 does not change the stored ETag, Vary and what describes the stored
//     bytes. One without a validator is taken for an answer to the one that was sent.
package rfc9111
