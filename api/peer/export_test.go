package peer

import "time"

// Shift moves the times of a reply to the clock of who asked.
func Shift(r *Reply, asked time.Time) { r.shift(asked) }
