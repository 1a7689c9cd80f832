package main

import "testing"

func TestNodeURL(t *testing.T) {
	for text, want := range map[string]nodeURL{
		"127.0.0.1:8081":            "http://127.0.0.1:8081",
		":8081":                     "http://localhost:8081",
		"0.0.0.0:8081":              "http://localhost:8081",
		"[::]:8081":                 "http://localhost:8081",
		"[::1]:8081":                "http://[::1]:8081",
		"http://node.example:8081":  "http://node.example:8081",
		"https://node.example/":     "https://node.example",
		"http://192.0.2.1:8081////": "http://192.0.2.1:8081",
	} {
		var u nodeURL
		if err := u.UnmarshalText([]byte(text)); err != nil || u != want {
			t.Errorf("%s: got %s, %v, want %s", text, u, err, want)
		}
	}
	for _, text := range []string{"", "8081", "localhost", "ftp://a:1", "http://", "http://a/b", "http://a?b", "http://a b", "unix:///run/x"} {
		var u nodeURL
		if err := u.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken as %s", text, u)
		}
	}
}
