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
//   - A key is a pure function of its spec and its request, in which the origin's word
//     about the query counts as a part of the request.
//   - Accept-Encoding is in the key as it is forwarded: the client's own, normalised, or all
//     codings where clients of every kind share a key ([Spec].Recoded).
//
// # Key bytes
//
// A key is a version byte and then parts in this order: scheme, host, target,
// accept-encoding, destination; method and body unless the method is GET or HEAD;
// cookies; headers; device; browser; conditions; deployment; query; the name of a
// piece. A part is a kind byte and its texts, each with its length in bytes before it
// as a shortest-form uvarint. A cookie or
// header part has the name, a form byte (absent, value, partition, no partition)
// and a text where the form has one. What a spec names is always written, absent
// or not, so that two specs do not meet in one key by accident; what stands from the
// conditions on, which set specs for one URL apart, is written when there is any.
//
// The target part has the query, from its "?" on, or the path alone where a spec
// says that [Key.Base] is to be the path's: then the query is a part of its own.
//
// A part of the bytes is never reinterpreted: another layout takes another
// version byte, and old keys are then simply not found.
//
// It must never know storage, lifetimes or routes.
package keying
