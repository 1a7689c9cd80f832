// Package shield is the tier that asks origins: every miss of every edge meets in
// it, and one key costs an origin one request at a time.
//
// It owns the flights and everyone who waits for one, the streaming of a body to
// many readers while it is stored, revalidation, hit-for-pass memory, the purge
// epochs, and the pools of connections to the origins with their health.
//
// What must always hold:
//   - Joining a flight, starting one, and leaving one for good are decisions under
//     one lock. A flight leaves the table only after what it stored can be seen.
//   - A fetch belongs to the shield, never to a client's context. A client that
//     leaves ends nothing that another client or a cache still wants.
//   - A response that may not be stored reaches the one client it was fetched for.
//     Everybody else is let go at the headers and asks alone. Fields that a response
//     reserves for that client reach nobody else, and no cache.
//   - A fill that began before a matching purge is not stored, nobody who comes
//     after the purge joins it, and what slipped in between is refused by its
//     epoch when it is looked up.
//   - Memory for a body is bounded, however long it is and however slow its
//     readers are. A body that breaks off is asked for the rest, a few times. One
//     that did not arrive whole ends in an error for every reader and is not stored.
//   - The bytes of the request target that an origin sees are those in the key.
//
// Purges. A purge is a rule with an epoch, not a deletion: what a rule names is refused by
// its epoch when it is looked up, so a purge costs the same whatever it names. Rules are
// durable before they are acknowledged, and compacted: of several about one name the
// latest is kept, and where there are too many they become coarser, slots of digests or
// whole hosts, so that too much is purged rather than too little. Those who follow the log
// get what they lack in batches, of durable rules only and never a part of what one call
// said. A log has an identity; who has a place in another drops what it holds. A follower
// can put rules into force by itself, about what it saw changed while it could not reach
// the log: they hold for all that the log knows of until it has them.
//
// Values. What was written is a rule like others. The keys of the last writes of what is small are
// remembered as text besides, [Purges.Announced], so that what they hold can be sent along with the rules.
//
// Soft purges. What a soft rule names counts as just gone stale from then on: it is served
// in its stale windows while it is refreshed, validated before its use outside them, and
// never used for longer than if it had gone stale by itself. A flight that began before the
// rule may have the old content, so nobody who comes after it joins, as after a hard one.
// What such a flight stores has its older epoch and is stale at once, not lost; but once a
// newer flight has begun for somebody it stores nothing, because it could replace what that
// one brings. A refresh looks at the rules as well, and so asks the origin.
//
// Who waits for whom. Requests with a Cookie wait in flights like all others:
// whether the answer may be shared is read from the answer, and one that may not
// be shared is not, so waiting risks delay and never a leak; and since nearly every
// browser sends some cookie, not waiting would mean no coalescing at all. Requests
// with Authorization expect answers that are only rarely storable (RFC 9111 3.5),
// so they wait for nobody and nobody waits for them, until a stored response
// shows that the origin permits it. A refresh that such a request begins is asked for
// without Authorization where the stored response was.
//
// What failures are shared. Everybody in a flight whose origin cannot be reached, is
// silent or breaks the protocol gets that error: one failure is as good as many. An
// error answer of the origin, such as a 503, is a response like others: whoever
// waited asks alone, because it may not be stored, unless the route gives its status
// a lifetime; and it is no reason to let the next ones go alone. Where something
// stale may be used instead, the origin is left alone for a few seconds.
//
// Slices. Where a route says so, a long body is fetched and stored in slices of one
// length, each under a key of its own that belongs to the URL, by the same flights and
// with the same validation as other responses. An answer reads them one after the other
// as its client takes them, with one fetched ahead, and only those that a Range needs.
// All slices of an answer are of one version: strong validator, size, coding, variant.
// They are asked for without If-Range or If-Match, because clients of an older and of a
// newer version meet in one request: each of them compares what comes. A version that
// changes under an answer ends it visibly, before its head goes out it starts over; the
// older slices are dropped, and what is stored of them by flights that end later is told
// by its time. A slice that is not found any more takes the others with it. What has no
// strong validator or does not come in slices is fetched whole under the main key, and
// what is stored whole stays whole.
//
// Parents. A node without a store is an edge: its flights ask a parent, the shield of all
// regions, so that any number of edges that miss a key have one flight each, and meet in one
// there. What the parent says of a response is taken as it is: its terms, tags, variant
// and epoch, and that it is stale. Whether others may have it is decided by the parent, who
// saw the origin's answer; the rest of a body is its business too. An edge does not fetch
// slices or parts of its own. While the parent is gone the same flight goes to the origin, if
// the policy lets it. Upgraded connections always do: there is nothing in them for a cache.
//
// What is fetched for a range. A request for a range waits for the whole, which is
// fetched once and serves every range of it. Where the route says storePartial, a single
// range of what is not stored is fetched alone, in a flight of its own, and kept with the
// parts of the same version as one object beside the key's. An answer is made of them
// only if they have every byte that it needs. A request for the whole asks for what lies
// between the first and the last byte that are missing, if a strong validator tells
// versions apart, and becomes the whole.
//
// What origins are told about clients. A request that is passed carries its
// client's address in X-Forwarded-For. A request of a flight does not: its answer
// is for everybody, and an origin that answers by address would be cached wrongly. A
// POST is passed, and its answer kept for GET only if the origin names it as the
// representation of its URL and gives it a lifetime.
//
// How origins are asked. A request without a body is written and its answer read by the goroutine that wants it, on a
// connection that is kept and looked at before it is used again: with net/http's transport, whose two goroutines for each
// connection take over every request and every answer, a cold miss took a quarter more CPU time. What has a body or
// switches protocols goes through the transport, and so does everything where the policy limits connections, or where
// sockets cannot be looked at. Below TLS records are followed, or what TLS has read ahead would be the next answer.
// Heads that can be read in one way only are read here, in half the allocations; others are left to net/http. What an
// origin said before it hung up is its answer, whether it had the whole request or not.
//
// What comes before a response. Interim responses, RFC 9110 15.2, go at once to the client
// that the response is fetched for, and to those in its flight whose requests have
// the very same fields: whether others may share the response is not known yet. At
// most 8 go on for a request, none is stored, and 64 end the request. 100 (Continue)
// is not passed on, because no origin gets an expectation.
//
// What comes after a body. The trailer section of a chunked body, RFC 9110 6.5, goes to
// those who stream it and take trailers. It is never merged into a header and never
// stored, so what is served from a store has none; a body whose trailer section does not
// come whole is cut short. TE: trailers goes to origins on passes alone, because it is in no key.
//
// Content codings. On routes with compress origins are asked for every coding, and whoever is
// nearest to the client makes of it what that accepts. Where that may not be, because
// of no-transform or a coding that nobody here can undo, a client that does not accept the coding
// asks alone, with its own Accept-Encoding, and neither waits nor stores. So does one whose
// answer is known to be for it alone; what it gets may be stored unless Accept-Encoding chose it.
//
// Rehearsals. What would become of a request is found out by a [Rehearsal]: a second shield over the same store and
// purges, whose writes and memories end with it, and that stops where an origin would be asked, if told so. So what is
// explained is what is done. It sees no flights, because it would be in their way.
//
// It must never know bbolt, ristretto, or the sockets of clients.
package shield
