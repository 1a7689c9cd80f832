package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listen opens the listener of a flag; what is in its error message.
func listen(ctx context.Context, what, flag string, at address) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", string(at))
	if err == nil {
		return listener, nil
	}
	reason := err
	var number syscall.Errno
	if errors.As(err, &number) {
		reason = number
	}
	failed := fmt.Errorf("cannot listen for %s on %s: %w", what, at, reason)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, advised{failed, fmt.Sprintf("Another program listens there. End it, or choose another address with %s.", flag)}
	case errors.Is(err, syscall.EACCES):
		return nil, advised{failed, fmt.Sprintf("Ports below 1024 need the capability CAP_NET_BIND_SERVICE. Choose another port with %s, or grant it.", flag)}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, advised{failed, fmt.Sprintf("No interface of this machine has that address. Choose another with %s.", flag)}
	}
	return nil, failed
}

// descriptors is how many file descriptors the process may have, as far as they are of use.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 13
	}
	return min(limit.Cur, 1<<20)
}

// maxConnections is how many client connections are taken at a time.
func maxConnections() int { return connectionsWithin(descriptors()) }

// connectionsWithin shares out file descriptors. Some are for files, listeners and refreshes, because the
// disk tier must never run out of them, some for large bodies in memory; the rest is halved, because a client
// can need a connection to the origin.
func connectionsWithin(descriptors uint64) int {
	reserve := min(descriptors/4, 256) + uint64(bodyFiles(descriptors))
	return int(max(1, (descriptors-reserve)/2))
}

// bodyFiles is how many large bodies in memory may have a descriptor.
func bodyFiles(descriptors uint64) int { return int(min(descriptors/16, 512)) }
