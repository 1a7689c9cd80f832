//go:build !race

package api_test

const forgetful = false
