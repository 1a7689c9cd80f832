package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// address is where a listener listens: "host:port" or ":port" for every interface.
type address string

// UnmarshalText checks the form of an address; names are not looked up.
func (a *address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err != nil {
		return fmt.Errorf("%q is not an address to listen on; write HOST:PORT, or :PORT for every interface", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q has no port between 0 and 65535; write HOST:PORT, or :PORT for every interface", text)
	}
	*a = address(text)
	return nil
}

// loopback says whether only this machine can reach the address. A name other
// than localhost may resolve to anything, so it does not count.
func (a address) loopback() bool {
	host, _, err := net.SplitHostPort(string(a))
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// reach is the address as somebody on this machine would type it.
func reach(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}
