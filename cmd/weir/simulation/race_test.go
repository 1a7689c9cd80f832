//go:build race

package simulation_test

// slower is by how much the race detector makes the tests slower, about.
const slower = 10
