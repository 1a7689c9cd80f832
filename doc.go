// Package weir keeps values for a Go program: what SWR fetches, what Set writes, what Incr
// counts. It is found in the process's own memory, and behind that in nothing, in a folder, or
// at a node that many programs share:
//
//	cache, err := weir.Open(weir.Options{Node: "http://127.0.0.1:8081", Token: token})
//	user, err := weir.SWR(ctx, cache, "user:42", fetchUser, weir.SWROptions{Tags: []string{"users"}})
//
// It stands at the top of the module because that is what its users import and what its name is
// at the call. The parts below it do not know it.
//
//	weir.go       opening and closing; backend.go: folder; memory.go: memory alone
//	swr.go        SWR; flight.go, fly.go: what runs behind it
//	values.go     Get, Set, Delete, Has, Incr, Purge
//	stats.go      what is counted
//	entry.go      what memory holds, and until when it may be used
//	node.go       a node as a store; follow.go: its purge log
//	handler.go    a policy file in front of an http.Handler; inprocess*.go: that as an origin
//
// What must always hold:
//   - A key is fetched once at a time. Who waits for a fetch waits as long as its own context
//     lasts, and no fetch waits for anybody. One that panics or never ends is an error for
//     those who wait, and the next one is a new try.
//   - After a Set, a Delete, an Incr or a Purge has returned, nobody gets from this cache what was
//     before it, and a fetch that had begun before it changes nothing.
//   - A cache that does not work never makes SWR fail: then it fetches. Set, Delete, Incr and Purge say what
//     happened.
//   - What was purged or written elsewhere is used no longer than Options.MaxBlind while
//     nobody can say so, and else as long as word of it takes.
//   - Memory is bounded, and so are refreshes in the background. Close waits for what runs.
//
// Values are encoded in JSON when they are kept, unless there is another Codec: a value that comes
// back from a folder or a node has the fields that its codec keeps. In memory it
// is as it was fetched, and everybody gets the same one. Nobody may change what it points to.
//
// A hit is a look-up in memory: it allocates nothing.
//
// It must never decide what the parts decide: what a response allows, how values are ordered, what
// a purge names.
package weir
