package api

import (
	"net/http"
	"net/http/pprof" //nolint:gosec // nothing serves http.DefaultServeMux, where this registers itself
	"strconv"
	"time"
)

// longestProfile is how long a profile of what happens may take.
const longestProfile = time.Minute

// profile answers with what package runtime/pprof knows of the process: go tool pprof reads it. The command line, which
// net/http/pprof would show too, may hold secrets.
func (a *Admin) profile(w http.ResponseWriter, r *http.Request) error {
	if text := r.FormValue("seconds"); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > int(longestProfile/time.Second) {
			return &fault{
				status: http.StatusBadRequest, code: "bad-seconds",
				message: "seconds is a whole number from 1 to " + strconv.Itoa(int(longestProfile/time.Second)) + ".",
			}
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	switch name := r.PathValue("name"); name {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	case "allocs", "block", "goroutine", "heap", "mutex", "threadcreate":
		pprof.Handler(name).ServeHTTP(w, r)
	default:
		return &fault{
			status: http.StatusNotFound, code: "not-found",
			message: "There is no profile of this name.",
			hint:    "Try profile, trace, heap, allocs, goroutine, threadcreate, block or mutex.",
		}
	}
	return nil
}
