// Package rfc9111 holds the stored response and every verdict on it: storable,
// fresh, reusable, the stale windows, Vary, updates by 304, invalidation,
// hop-by-hop fields, conditional and range requests, Cache-Status. RFC 9110, 9111,
// 5861, 8246, 9211, 9213 and 9875 and the draft of No-Vary-Search are cited at the lines they decide.
//
// What must always hold:
//   - Every verdict is pure: values in, verdict out, inputs are not edited, and
//     now is a parameter.
//   - What explains a verdict is the switch that makes it, see [ExplainStorable] and [ExplainReuse].
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
//     Vary: * and the rule for Authorization, and only [Rules].StoreSetCookie lifts Set-Cookie.
//   - Errors are stored by [Rules].StatusLifetimes, and like others under
//     [Rules].ErrorsByHeader; 206 never.
//   - What is never fresh is stored if the origin says so itself, with no-cache or a
//     lifetime that is over, and gives a validator; without any word about time it is not.
//   - An origin's stale-while-revalidate and stale-if-error work beside its s-maxage, which
//     forbids stale reuse outside of them; a request's max-stale and stale-if-error extend neither.
//   - An Age that is no number is ignored and of several the first counts, as RFC 9111 5.1 says.
//   - An answer of our own has members in Cache-Status too, although RFC 9211 2 advises against
//     that: fwd tells what kept it from a cache, whether or not the request went further.
//   - The order of languages of one weight in Accept-Language makes no variant.
//   - The fields that private and no-cache name go to whoever caused the response, and are
//     left out of what is stored. Where one cannot be left out the directive counts as
//     unqualified. A cookie is left out only if the origin states a lifetime, too.
//   - A 304 does not change the stored ETag, Vary and what describes the stored
//     bytes. One without a validator is taken for an answer to the one that was sent; a
//     200 to HEAD without one updates nothing.
//   - A group without a name is none, and beyond 1,000 groups of a list all are meant.
//   - A 404 or 410 to HEAD has what is stored validated before its next use, and drops
//     nothing: there are servers that know no HEAD.
package rfc9111
