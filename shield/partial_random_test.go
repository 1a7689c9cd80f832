package shield_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
)

// Random requests for a document that changes: each answer is what the document was
// since the last purge or within its lifetime, cut as it was asked for.
func TestPartsAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { partsAtRandom(t, seed) })
		})
	}
}

func partsAtRandom(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	s, d := startPartial(t)
	tag := func(version int) string {
		switch seed % 4 {
		case 0:
			return ""
		case 1:
			return fmt.Sprintf(`W/"%d"`, version)
		}
		return fmt.Sprintf(`"%d"`, version)
	}
	version, oldest := 0, 0
	var versions []string
	change := func() {
		body := strings.Repeat(string(rune('a'+version%26)), 60)
		if seed%4 != 0 && rnd.IntN(2) == 0 {
			body = body[:1+rnd.IntN(60)]
		}
		versions = append(versions, body)
		d.set(body, "Etag", tag(version), "Cache-Control", "max-age=10")
		version++
	}
	change()
	for range 300 {
		switch rnd.IntN(20) {
		case 0:
			change()
		case 1:
			time.Sleep(6 * time.Second)
		case 2:
			s.purge("/")
			oldest = version - 1
		}
		field := []string{"", "bytes=%d-%d", "bytes=%d-", "bytes=-%d"}[rnd.IntN(4)]
		a, b := rnd.IntN(70), rnd.IntN(70)
		switch strings.Count(field, "%d") {
		case 1:
			field = fmt.Sprintf(field, a)
		case 2:
			field = fmt.Sprintf(field, min(a, b), max(a, b))
		}
		fields := []string{"Range", field}
		if field == "" {
			fields = nil
		}
		if rnd.IntN(4) == 0 {
			fields = append(fields, "If-Range", fmt.Sprintf(`"%d"`, max(0, version-1-rnd.IntN(2))))
		}
		r := s.askFor("/", fields...)
		if !slicesContain(versions[oldest:], func(body string) bool { return isAnswer(r, field, body) }) {
			t.Fatalf("%v: %d %q, %v, %+v; versions %q", fields, r.status, r.body, r.err, r.decision, versions[oldest:])
		}
	}
	if seed%4 > 1 && s.shield.Stats().Hits == 0 {
		t.Error("no hits")
	}
	s.close()
}

// isAnswer says whether r is what a range of body, or all of it, is answered with.
func isAnswer(r result, field, body string) bool {
	ranges, err := rfc9111.ParseRange(field, int64(len(body)))
	switch {
	case r.status == http.StatusOK:
		return r.body == body
	case err != nil:
		return r.status == http.StatusRequestedRangeNotSatisfiable
	case len(ranges) != 1:
		return false
	}
	return r.status == http.StatusPartialContent && r.body == body[ranges[0].Start:ranges[0].Start+ranges[0].Length]
}

func slicesContain(all []string, is func(string) bool) bool {
	for _, one := range all {
		if is(one) {
			return true
		}
	}
	return false
}
