package simnet

import "time"

// Region is a place for an edge, by the code of its airport.
type Region struct {
	Name      string
	RoundTrip time.Duration // to Frankfurt and back
}

// Regions are 28 places seen from Frankfurt. The round trips are of the kind that
// providers and measurement networks publish as medians between data centres, over the
// public network and rounded; the farthest is 280 ms away.
func Regions() []Region {
	const ms = time.Millisecond
	return []Region{
		{"ams", 10 * ms},
		{"cdg", 11 * ms},
		{"mxp", 12 * ms},
		{"lhr", 16 * ms},
		{"waw", 20 * ms},
		{"arn", 26 * ms},
		{"dub", 28 * ms},
		{"hel", 30 * ms},
		{"mad", 33 * ms},
		{"ist", 44 * ms},
		{"tlv", 58 * ms},
		{"iad", 92 * ms},
		{"yul", 98 * ms},
		{"ord", 105 * ms},
		{"dxb", 115 * ms},
		{"bom", 122 * ms},
		{"dfw", 126 * ms},
		{"den", 134 * ms},
		{"sea", 148 * ms},
		{"lax", 152 * ms},
		{"cpt", 157 * ms},
		{"sin", 163 * ms},
		{"hkg", 192 * ms},
		{"gru", 205 * ms},
		{"nrt", 228 * ms},
		{"icn", 237 * ms},
		{"scl", 239 * ms},
		{"syd", 280 * ms},
	}
}
