package api

import (
	"log"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// NewServer returns the server for client traffic: handler is a [Door].
//
// A client has 5 s for a request head and 60 s between two requests. There is no
// limit on a whole request or response, which may be of any size; the door bounds
// every single read and write instead. net/http stops reading a head about 4 KiB
// beyond MaxHeaderBytes; the door counts exactly.
//
// The server is to be stopped with Shutdown, which waits for requests in
// progress, then [Hits.Drain], which waits for those past net/http, then Close.
func NewServer(handler http.Handler, log *zap.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // over TLS only
	return &http.Server{
		Handler:                      handler,
		DisableGeneralOptionsHandler: true, // OPTIONS * is answered with the status headers too
		ReadHeaderTimeout:            5 * time.Second,
		IdleTimeout:                  60 * time.Second,
		MaxHeaderBytes:               MaxHeaderBytes,
		Protocols:                    protocols,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: 100},
		ErrorLog:                     quiet(log),
	}
}

// NewAdminServer returns the server for the admin listener. Its requests are
// small; its answers may be followed for as long as a client likes.
func NewAdminServer(handler http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler:                      handler,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  30 * time.Second,
		IdleTimeout:                  60 * time.Second,
		MaxHeaderBytes:               MaxHeaderBytes,
		ErrorLog:                     quiet(log),
	}
}

// quiet is where net/http may complain. What it has to say is caused by clients
// and would fill a log at their will, so it is for those who look for it.
func quiet(logger *zap.Logger) *log.Logger {
	if logger == nil {
		logger = zap.NewNop()
	}
	quiet, err := zap.NewStdLogAt(logger, zap.DebugLevel)
	if err != nil { // only of a level that does not exist
		return nil
	}
	return quiet
}
