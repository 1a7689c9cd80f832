package main

import (
	"net"
	"testing"
)

func TestAddress(t *testing.T) {
	for text, loopback := range map[string]bool{
		":8080": false, "0.0.0.0:80": false, "[::]:80": false, "192.0.2.1:80": false, "example.org:80": false,
		"127.0.0.1:0": true, "127.9.9.9:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true, "localhost:8081": true,
		"localhost.example.org:80": false,
	} {
		var a address
		if err := a.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if a.loopback() != loopback {
			t.Errorf("%s: loopback is %v", text, a.loopback())
		}
	}
}

func TestAddressRefused(t *testing.T) {
	for _, text := range []string{"", "8080", "localhost", "::1:80", ":", ":http", ":65536", ":-1", ":+1", ":080", "http://localhost:80", "a:b:c"} {
		var a address
		if err := a.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestReach(t *testing.T) {
	for want, addr := range map[string]*net.TCPAddr{
		"localhost:80":    {IP: net.IPv6unspecified, Port: 80},
		"127.0.0.1:81":    {IP: net.IPv4(127, 0, 0, 1), Port: 81},
		"[::1]:82":        {IP: net.IPv6loopback, Port: 82},
		"192.0.2.1:83":    {IP: net.IPv4(192, 0, 2, 1), Port: 83},
		"[2001:db8::]:84": {IP: net.ParseIP("2001:db8::"), Port: 84},
	} {
		if got := reach(addr); got != want {
			t.Errorf("%v: got %s, want %s", addr, got, want)
		}
	}
}
