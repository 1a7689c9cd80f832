//go:build !race

package simulation_test

// slower is by how much the race detector would make the tests slower, about.
const slower = 1
