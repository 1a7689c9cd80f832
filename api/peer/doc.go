// Package peer is the way between nodes: what an edge and the shield of all regions say
// to each other, and the edge's side of it. The shield's side is a door, in package api,
// because what an edge asks for goes through the same admission as what a client does.
//
// All of it is HTTP/1.1 on connections that are kept:
//
//	POST /v1/peer/fetch    an Ask and the request's body; the answer is a Reply and its body
//	GET  /v1/peer/log      becomes a stream: batches of purges down, epochs that are applied up;
//	                       with values=1 small values that were written, too
//	POST /v1/peer/catchup  the purges after an epoch, in one batch
//	POST /v1/peer/purge    a shield.PurgeOrder; the answer is a shield.PurgeReport, both JSON
//	POST /v1/peer/owed     rules that an edge put into force by itself
//	POST /v1/peer/kv       a KVAsk and the bytes of a value; the answer is a KVReply and those of values
//
// What must always hold:
//   - Whoever does not know the secret gets no further than the TLS handshake. Both sides
//     make the same key of it, and each proves to the other that it has it: nothing that was
//     recorded can be played again, and no clock is compared. Without a secret nodes talk
//     on loopback alone.
//   - Nothing that a peer sends takes more memory than the limits here, and nothing that
//     it fails to send or to read keeps anybody else waiting.
//   - A body comes whole or ends in an error. What was cut short is asked for from where
//     it ended if that is of the very same version.
//   - A request that may have been acted on is not sent again unless its method is
//     idempotent; one whose body was read is never sent again.
//   - A write of a value is sent once, unless nothing of it can have come to the shield. Who asked is
//     told when nobody knows whether it has happened.
//   - A kind of frame that an older edge does not know is sent to who has asked for it alone.
//   - Times are those of the clock of whoever reads them. They are moved by the difference
//     between the edge's clock when it asked and the shield's when the question came, so
//     that an answer may count as older than it is, by the way there, and never as younger. For
//     what nobody asked for, the edge's last word on the stream stands for the question.
//   - An answer that is a client's own, or that the shield keys otherwise because its policy is
//     another one, is kept by no edge and shared with nobody there: [Reply].Alone.
//   - An edge that may lack purges says so to its memory tier: [Client.Sight].
//
// It must never know how keys are built, what is fresh, or how a purge is stored.
package peer
