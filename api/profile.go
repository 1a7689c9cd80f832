package api

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

const (
	longestProfile  = time.Minute // that a profile of what happens may take
	profilePatience = time.Minute // how long the client may take for it after that
)

// profile answers with what package runtime/pprof knows of the process: go tool pprof reads it. Package net/http/pprof
// puts itself, and the command line, which may hold secrets, into http.DefaultServeMux, which belongs to the program.
func (a *Admin) profile(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	seconds, err := profileSeconds(query.Get("seconds"))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/octet-stream")
	switch name := r.PathValue("name"); name {
	case "profile":
		return during(w, r, cmp.Or(seconds, 30), pprof.StartCPUProfile, pprof.StopCPUProfile)
	case "trace":
		return during(w, r, cmp.Or(seconds, 1), trace.Start, trace.Stop)
	case "allocs", "block", "goroutine", "heap", "mutex", "threadcreate":
		debug, _ := strconv.Atoi(query.Get("debug"))
		if debug != 0 {
			h.Set("Content-Type", "text/plain; charset=utf-8")
		}
		return pprof.Lookup(name).WriteTo(w, debug)
	}
	return &fault{
		status: http.StatusNotFound, code: "not-found",
		message: "There is no profile of this name.",
		hint:    "Try profile, trace, heap, allocs, goroutine, threadcreate, block or mutex.",
	}
}

// profileSeconds returns 0 if there are none.
func profileSeconds(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > int(longestProfile/time.Second) {
		return 0, &fault{
			status: http.StatusBadRequest, code: "bad-seconds",
			message: "seconds is a whole number from 1 to " + strconv.Itoa(int(longestProfile/time.Second)) + ".",
		}
	}
	return n, nil
}

// during answers with what start writes until stop, unless the client leaves before that.
func during(w http.ResponseWriter, r *http.Request, seconds int, start func(io.Writer) error, stop func()) error {
	if r.Method == http.MethodHead {
		return nil
	}
	length := time.Duration(seconds) * time.Second
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(length + profilePatience)) // or nobody else would get one
	w.Header().Set("Connection", "close")                                                        // the deadline is for this alone
	if err := start(w); err != nil {
		return &fault{
			status: http.StatusConflict, code: "profiling", retry: seconds, cause: err,
			message: "Another profile of this kind is being made.", hint: "There is one at a time. Wait for it.",
		}
	}
	defer stop()
	ctx, cancel := context.WithTimeout(r.Context(), length)
	defer cancel()
	<-ctx.Done()
	return nil
}
