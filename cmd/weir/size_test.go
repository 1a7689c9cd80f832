package main

import (
	"math"
	"testing"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0B": 0, "1B": 1, "64KiB": 64 << 10, "256MiB": 256 << 20, "10GiB": 10 << 30, "1TiB": 1 << 40,
		"1kB": 1000, "5MB": 5e6, "7GB": 7e9, "2TB": 2e12, "9223372036854775807B": math.MaxInt64,
	} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err != nil || int64(s) != want {
			t.Errorf("%s: got %d, %v, want %d", text, s, err, want)
		}
	}
}

func TestSizeRefused(t *testing.T) {
	for _, text := range []string{
		"", "256", "MiB", "256M", "256mib", "256MIB", "1.5GiB", "-1MiB", "+1MiB", "1 MiB", " 1MiB", "1MiB ",
		"0x10MiB", "1e3MiB", "1_000MiB", "9223372036854775808B", "9007199254740993TiB", "8388608TiB", "1BB", "1iB", "KiB1",
	} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken as %d bytes", text, int64(s))
		}
	}
}

func TestSizeString(t *testing.T) {
	for want, s := range map[string]size{
		"0B": 0, "1B": 1, "1023B": 1023, "1KiB": 1024, "1025B": 1025, "256MiB": 256 << 20, "3TiB": 3 << 40, "1000B": 1000,
	} {
		if got := s.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(s), got, want)
		}
	}
}
