package shield_test

import (
	"io"
	"net/http"
	"testing"
)

// A completion whose connection breaks goes on, as any body does.
func TestCompletionThatIsCut(t *testing.T) {
	s, d := startPartial(t, "Etag", `"1"`)
	s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
	s.origin.answer(once(func(r *http.Request) (*http.Response, error) {
		resp, err := d.answer(r)
		resp.Body = io.NopCloser(cutShort(letters[:2], io.ErrUnexpectedEOF))
		return resp, err
	}, d.answer))
	s.askFor("/").wantStatus(t, 200, letters, miss, partial)
	s.wantAsked(3, "bytes=2-", `"1"`)
	s.askFor("/").wantStatus(t, 200, letters, hit, "")
}

// What a completion may bring besides the rest.
func TestCompletionsThatFail(t *testing.T) {
	whole := always(200, letters, "Etag", `"1"`, "Cache-Control", cacheable)
	for _, c := range []struct {
		name  string
		first handler
		asked int
	}{
		{"another range", always(206, letters[8:], "Etag", `"1"`, "Content-Range", "bytes 8-25/26"), 3},
		{"another length", always(206, letters[:25], "Etag", `"1"`, "Content-Range", "bytes 0-24/25"), 3},
		{"another version", always(206, letters, "Etag", `"2"`, "Content-Range", "bytes 0-25/26"), 3},
		{"416", always(416, "", "Content-Range", "bytes */5"), 3},
		{"with a cookie", always(206, letters, "Etag", `"1"`, "Content-Range", "bytes 0-25/26", "Set-Cookie", "a=1"), 3},
		{"the whole", whole, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := startPartial(t, "Etag", `"1"`)
			s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
			s.origin.answer(once(c.first, whole))
			s.askFor("/").wantStatus(t, 200, letters, miss, partial)
			s.wantOrigin(c.asked)
			s.askFor("/").wantStatus(t, 200, letters, hit, "")
		})
	}
}

// What is gone is gone in parts, too.
func TestPartsOfWhatIsGone(t *testing.T) {
	for name, asked := range map[string]string{"part": "bytes=10-14", "whole": ""} {
		t.Run(name, func(t *testing.T) {
			s, _ := startPartial(t, "Etag", `"1"`)
			s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
			s.origin.answer(always(410, "gone"))
			if r := s.get("/", "Range", asked); r.status != 410 {
				t.Errorf("%+v", r)
			}
			if s.store.Len() != 0 {
				t.Error("still stored")
			}
		})
	}
}
