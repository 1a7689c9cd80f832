package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a number of bytes, written as a whole number with its unit: 256MiB.
type size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

// UnmarshalText parses a size. Nothing is guessed: a number without a unit, a
// fraction and a unit in the wrong case are refused.
func (s *size) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "TGMKkiB")
	unit := string(text)[len(digits):]
	number, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || strings.HasPrefix(digits, "+") {
		return fmt.Errorf("%q is not a size; write a whole number and its unit, such as 256MiB or 10GiB", text)
	}
	for _, u := range sizeUnits {
		if unit != u.name {
			continue
		}
		if int64(number) > math.MaxInt64/u.bytes {
			return fmt.Errorf("%q is larger than can be counted", text)
		}
		*s = size(int64(number) * u.bytes)
		return nil
	}
	return fmt.Errorf("%q has no unit that is known; the units are B, KiB, MiB, GiB, TiB, kB, MB, GB and TB", text)
}

// String prints the size in the largest unit that it is a whole number of.
func (s size) String() string {
	for _, u := range sizeUnits[:4] {
		if s >= size(u.bytes) && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
