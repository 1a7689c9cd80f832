//go:build !mutant_early_ack

package shield

// earlyAck says that a purge is durable although it is not. It is true only in a build
// by which the checks show that they notice.
const earlyAck = false
