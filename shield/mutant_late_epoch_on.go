//go:build mutant_late_epoch

package shield

// lateEpoch notes the epoch of a fill after its origin has answered, which is wrong. The checks must
// notice.
const lateEpoch = true
