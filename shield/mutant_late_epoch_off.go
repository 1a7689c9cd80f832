//go:build !mutant_late_epoch

package shield

// lateEpoch notes the epoch of a fill after its origin has answered, which is wrong. It is true only in a build
// by which the checks show that they notice.
const lateEpoch = false
