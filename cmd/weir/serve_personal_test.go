package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// A cookie that the origin reserves for the client that caused a response goes to that
// client. It is in no cache, and in no file.
func TestReservedCookieIsNowhere(t *testing.T) {
	const canary = "canary-b7e1"
	origin, node := shop(t)
	origin.page("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", `max-age=600, private="set-cookie, x-user"`)
		w.Header().Set("Set-Cookie", "session="+canary)
		w.Header().Set("X-User", canary)
		_, _ = io.WriteString(w, "for everybody")
	})
	first := node.fill("/a")
	node.want(first, 200, missStored, "for everybody")
	if first.Header.Get("Set-Cookie") != "session="+canary || first.Header.Get("X-User") != canary {
		t.Errorf("the client that caused it got %v", first.Header)
	}
	clean := func(r *reply) {
		t.Helper()
		for name, values := range r.Header {
			for _, v := range values {
				if bytes.Contains([]byte(v), []byte(canary)) {
					t.Errorf("%s: %s", name, v)
				}
			}
		}
	}
	second := node.get("/a")
	node.want(second, 200, hitMemory, "for everybody")
	clean(second)
	data := node.data()
	node.stop()
	files := 0
	err := filepath.WalkDir(data, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(canary)) {
			t.Errorf("%s has it", e.Name())
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
	asked(t, origin, "/a", 1)
}
