package shield

import (
	"testing"
	"time"
)

func TestIdleLimit(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  time.Duration
	}{
		{nil, longestIdle},
		{[]string{"timeout=5"}, 4 * time.Second},
		{[]string{"max=1000, timeout=5"}, 4 * time.Second},
		{[]string{"timeout=20", "TIMEOUT=3"}, 2 * time.Second},
		{[]string{"timeout=1"}, time.Second / 2},
		{[]string{"timeout=0"}, time.Second / 2},
		{[]string{"timeout=99999999999999999999"}, longestIdle},
		{[]string{"timeout=600"}, longestIdle},
		{[]string{"timeout", "timeout=", "timeout=x", ",=,"}, longestIdle},
	} {
		if got := idleLimit(c.lines); got != c.want {
			t.Errorf("%q: %v, want %v", c.lines, got, c.want)
		}
	}
}
