// Package policy turns the JSON policy file into an immutable table of routes and
// matches requests against it.
//
// It owns the file's schema, strict decoding, compilation, matching, and the
// atomic swap of one table for the next.
//
// What must always hold:
//   - A file with any mistake in it changes nothing; its errors name file, line,
//     column, field, and what would be right, all of them at once.
//   - A table never changes after Compile; a request uses one table from beginning
//     to end.
//   - [Table.Explain] asks what Match asks, of one route after the other.
//   - The first matching route wins; defaults lie under every route, field by field.
//   - The decoder and the JSON Schema are made from one list of fields, and the
//     schema accepts whatever Compile accepts.
//
// It must never know caches or sockets.
//
// # Matching
//
// Paths are compared as they are forwarded, byte for byte. Nothing is decoded, no
// slashes or dots are cleaned up: origins do that each by rules of their own, and a
// route that matched a cleaned path would apply its lifetime to what the origin takes
// for something else. The other side of it: /admin/* does not match /%61dmin/, which
// to many origins is the same page. So a path that a laxer reader would match to
// another route is ambiguous, and the response to it is not cached ([Table.Ambiguous]).
// Private pages still say so in their responses: a path protects nothing by itself.
//
// In a pattern :name stands for one segment that is not empty, and * at the end for
// any rest, none included: /admin/* matches /admin/ but not /admin. GET includes
// HEAD, because both share one stored response. A host without a port matches on
// every port. Conditions on queries compare decoded names and values, as origins do;
// where a header, cookie or parameter comes several times, one value that satisfies
// is enough.
//
// # Inheritance
//
// Objects are merged field by field and everything else is taken whole. null leaves
// a field unset that defaults have set. A route's own origin replaces a split test of
// the defaults, and the other way round. With one origin in the file nothing has to
// name it.
//
// Methods besides GET and HEAD that a route's match names are cached, unless its edge
// is false. PUT, DELETE, PATCH, OPTIONS and TRACE never are: RFC 9110, 9.3 and RFC
// 5789, 2 give their responses no meaning for a later request. A GraphQL route names
// its methods in the same way; which of its requests are queries is for whoever reads
// their bodies.
//
// # Deployments
//
// With isolate the name of the deployment is part of the keys of all routes that are
// not permanent. Nothing is dropped when another deployment comes into force, so one
// that comes back finds what it had. [Live.Settling] covers the time in which origins
// answer with both.
package policy
