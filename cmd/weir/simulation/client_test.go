package simulation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ask is what a client asks for.
type ask struct {
	method, url, user string
	authorized        bool   // it says who it is in Authorization instead of a Cookie
	min               uint64 // Cache-Min-Epoch
	first, last       int    // a range of bytes, when last is not 0
	patience          time.Duration
}

// alone is a header field of requests that need not wait for others who want the same.
const alone = "X-Alone"

// answer is what it got.
type answer struct {
	status int
	header http.Header
	body   []byte
	broken bool // the connection was aborted
}

// recorder is a client that reads as fast as it can.
type recorder struct {
	header http.Header
	sent   http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if status >= 200 && r.status == 0 {
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorder) Flush() {}

// do sends a request to a door. A handler that panics as it does to break the
// connection gives a broken answer.
func do(ctx context.Context, door http.Handler, a ask) (got answer) {
	method := a.method
	if method == "" {
		method = http.MethodGet
	}
	if a.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.patience)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url, http.NoBody)
	if err != nil {
		panic(err)
	}
	req.RequestURI, req.RemoteAddr = pathOf(a.url), "192.0.2.7:40000"
	if a.authorized {
		req.Header.Set("Authorization", "Bearer "+a.user)
	} else if a.user != "" {
		req.Header.Set("Cookie", "user="+a.user)
	}
	if a.authorized || a.min > 0 {
		req.Header.Set(alone, "1")
	}
	if a.min > 0 {
		req.Header.Set("Cache-Min-Epoch", strconv.FormatUint(a.min, 10))
	}
	if a.last > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", a.first, a.last))
	}
	r := &recorder{header: http.Header{}}
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			got.broken = true
		}
		got.status, got.header, got.body = r.status, r.sent, r.body.Bytes()
		if length := got.header.Get("Content-Length"); length != "" && length != strconv.Itoa(len(got.body)) {
			got.broken = true // net/http breaks the connection then
		}
	}()
	door.ServeHTTP(r, req)
	return got
}

// read says which version an answer is of and whose, or what is wrong with it.
func (got *answer) read(a ask) (version int, owner, wrong string) {
	tag := strings.Trim(got.header.Get("Etag"), `"`)
	number, owner, _ := strings.Cut(tag, "-")
	version, err := strconv.Atoi(number)
	if err != nil {
		return 0, "", "law 5: no entity tag: " + got.header.Get("Etag")
	}
	want := content(a.url, version, owner, kinds[pathOf(a.url)[1]].size)
	if got.status == http.StatusPartialContent {
		var first, last, size int
		if _, err := fmt.Sscanf(got.header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil ||
			size != len(want) || first != a.first || last >= size || first > last {
			return 0, "", "law 5: content range " + got.header.Get("Content-Range")
		}
		want = want[first : last+1]
	}
	if !bytes.Equal(got.body, want) {
		return 0, "", fmt.Sprintf("law 5: %d bytes of %.60q, want %d of %.60q", len(got.body), got.body, len(want), want)
	}
	if cookie := got.header.Get("Set-Cookie"); cookie != "" && cookie != "user="+a.user {
		return 0, "", fmt.Sprintf("law 6: %s got %q", a.user, cookie)
	}
	return version, owner, ""
}
