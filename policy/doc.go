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
//   - The first matching route wins; defaults lie under every route, field by field.
//
// It must never know caches or sockets.
package policy
