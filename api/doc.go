// Package api holds every HTTP door of a node: client traffic, the admin
// listener, and the places where all of them meet: the one error map, the one
// renderer of answers, the access log and the counters.
//
// A client's request goes through [Door] in four steps, one file each:
//
//	admit.go   what is refused, what the request looks like to a tier
//	(the tier) everything that is known about caching
//	render.go  the head towards the client; ranges.go, stream.go: the body
//	record.go  counters, and a line in the access log; journal.go: in what logs.go shows
//
// Most requests never come that far. A [Guard] sees each head before net/http does, and [Hits]
// answers plain requests for fresh objects in memory there, on the connection itself:
//
//	hit_head.go    what a head may say
//	hit.go         route, key and object
//	hit_render.go  the head of the answer, kept ready with the object
//	hit_conn.go    writing it; deadlines, and the end of the connection
//	hit_file.go    the same for bodies that lie in files: sendfile(2)
//	hit_young.go   connections that the server knows nothing of yet, when it ends
//
// Other plain requests come to the door from there as well, past net/http, which takes a
// tenth of what a miss costs otherwise, and more on a quiet machine:
//
//	direct.go        the request
//	direct_wait.go   whether its client is still there
//	direct_reply.go  the answer, as net/http would write it
//
// Measured with bench/hits beside the same requests through net/http and the door, a hit
// takes a seventh of the CPU time: 11 instead of 78 us on a busy machine.
//
// What an edge asks the shield for comes through [PeerDoor] and the same admission, with
// what the edge has decided about it; peerreply.go says how much of an answer the edge gets. What
// is said on the way, and the edge's side of it, are package peer's. peerlog.go brings edges the purges,
// peerpush.go the small values whose writes are among them, and peerregions.go knows who has applied them.
//
// Programs keep values under keys through [Values], on the admin listener and on one of their own,
// [NewKV], and follow with [Changes] what is purged and written. kvquery.go is what they may say,
// kvfault.go what they are told; package kv keeps the values.
//
// [Explainer] sends a request through the same steps, in a rehearsal: a door like the one for clients in front of
// [l1.Tier.Rehearse] and [shield.Shield.Rehearse], from which nothing comes. probe.go notes what the door decides;
// explanation.go adds what the tiers hold, and advice.go what to do about it. peerexplain.go is the part of the shield
// when an edge explains.
//
// What must always hold:
//   - The target that is forwarded is the target that was received, byte for
//     byte, less what the key spec drops. Nothing is decoded on the way.
//   - What a key is made of is what the tiers see: a client cannot have a keyed
//     field removed with Connection, set our own fields, or send a name with "_"
//     that an origin reads as one with "-".
//   - A response answers another query than the one it was fetched for only if its own
//     No-Vary-Search says that they are alike, and the route obeys that.
//   - What is cached as a GraphQL query is one to everybody who reads it.
//   - A body is sent whole, or the connection is aborted in a way that the client
//     can see. Nothing is written into a connection after a failure.
//   - What [Hits] answers, net/http and the door would have answered with the same bytes, and so
//     with what goes past net/http. Nothing does that would have to be thought about: any doubt,
//     and net/http gets the request as it came. A new field that the door or a tier reads of a request is added to
//     glance.field, or to the tests of what a route may need.
//   - Every response says what happened to it, errors included, and no error may
//     be stored by anybody downstream. An interim response, RFC 9110 15.2, says
//     nothing: what happens is not decided yet.
//   - Every connection has a bound in time for the next thing that it has to do:
//     send a request, read what it was sent, use an upgraded connection.
//   - A client that left is noticed when it is written to, or else after some two seconds: until
//     then it may be one that has closed its side and reads on.
//   - A peer that is slow, silent or talks nonsense keeps nobody else waiting: no purge, no
//     other peer, and no memory beyond what was looked up for it last.
//   - Rules wait for no values: an edge that is slow to take what was written gets the rules alone, and
//     so do those for which there is more than the shield sends in a second.
//   - A value is stored whole or not at all, under the key that the path says when it is decoded once.
//     Nothing that a request says of a value is left out because it is not understood.
//   - Values on their way take no more memory than their room, long batches of the purge log no more than
//     theirs (batches.go), and programs that follow no more than their places: who has to wait waits for a
//     bounded time.
//   - Counters count every request. The access log may leave requests out when
//     there are many, but never failures. Who follows the [Journal] keeps no request waiting, and is told
//     how many it has missed.
//
// Who gets trailer fields. RFC 9110 6.5.1 lets them be dropped anywhere, except for clients
// that say TE: trailers: only those get them, over HTTP/1.1 chunked or HTTP/2, and
// only with a body that is sent whole as it comes from its origin. TE counts without
// Connection: TE too, which many clients leave out. Fields that must not come after a
// body go no further, in neither direction. A request's trailer goes on with a streamed
// body, as far as it was announced.
//
// It must never know freshness rules, how a key is built, or how files are laid
// out.
package api
