// Package keying maps a request to its cache key.
//
// It owns key specs, the canonical length-prefixed key bytes, their 128-bit
// digest, the classes a key may use instead of raw header values (device,
// browser, accept-encoding), and the explanation of a key.
//
// What must always hold:
//   - Different requests never share a key: every part is length-prefixed, and
//     [Parse] recovers the parts that [Spec.Build] wrote.
//   - The target that is forwarded is exactly the target in the key. What a spec
//     drops from the query is dropped from both.
//   - A key is a pure function of its spec and its request.
//
// It must never know storage, lifetimes or routes.
package keying
