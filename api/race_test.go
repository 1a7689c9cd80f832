//go:build race

package api_test

// Under the race detector a sync.Pool forgets on purpose.
const forgetful = true
