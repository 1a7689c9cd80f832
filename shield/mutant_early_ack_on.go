//go:build mutant_early_ack

package shield

// earlyAck says that a purge is durable although it is not. The checks must
// notice.
const earlyAck = true
