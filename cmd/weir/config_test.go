package main

import (
	"strings"
	"testing"
)

var testFlags = map[string]bool{"listen": false, "l1-size": false, "admin": false, "dev": true}

func TestConfigFile(t *testing.T) {
	values, err := parseConfig("c.json", []byte(" {\n \"listen\": \":80\", \"dev\":true,\n\t\"l1-size\" : \"1MiB\" } \n"), testFlags)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]configValue{
		"listen": {":80", "2:12"}, "dev": {"true", "2:25"}, "l1-size": {"1MiB", "3:14"},
	} {
		if values[key] != want {
			t.Errorf("%s: got %+v, want %+v", key, values[key], want)
		}
	}
}

func TestConfigFileMistakes(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", "c.json:1:1: the file ends too early"},
		{"no object", "[]", `c.json:1:1: must be an object of flags: {"listen": ":8080"}`},
		{"not JSON", "{\n listen: 1}", "c.json:2:2: not valid JSON"},
		{"trailing comma", `{"dev": true,}`, "c.json:1:14: not valid JSON"},
		{"not closed", `{"dev": true`, "c.json:1:13: the file ends too early"},
		{"cut in a string", `{"dev`, "c.json:1:6: the file ends too early"},
		{"two objects", "{}\n{}", "c.json:2:1: more after the object's end"},
		{"unknown key", `{"colour": "red"}`, `c.json:1:2: unknown key "colour"; the keys are admin, dev, l1-size, listen`},
		{"misspelt key", `{"lisen": ":80"}`, `c.json:1:2: unknown key "lisen"; write "listen"`},
		{"camel case", `{"l1Size": "1MiB"}`, `c.json:1:2: unknown key "l1Size"; write "l1-size"`},
		{"snake case", `{"l1_size": "1MiB"}`, `write "l1-size"`},
		{"twice", "{\"dev\": true,\n\"dev\": false}", `c.json:2:1: "dev" stands twice`},
		{"number", `{"l1-size": 256}`, `c.json:1:13: "l1-size" must be a string: write "256" with its unit`},
		{"text switch", `{"dev": "true"}`, `c.json:1:9: "dev" must be true or false`},
		{"switch text", `{"listen": true}`, `c.json:1:12: "listen" must be a string`},
		{"null", `{"listen": null}`, `c.json:1:12: "listen" must be a string`},
		{"list", `{"listen": [":80", {"a": []}], "dev": 1}`, `c.json:1:12: "listen" must be a string`},
		{"list, the next one", `{"listen": [":80", {"a": []}], "dev": 1}`, `c.json:1:39: "dev" must be true or false`},
		{"object", `{"listen": {"host": "a"}}`, `c.json:1:12: "listen" must be a string`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseConfig("c.json", []byte(c.src), testFlags)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestConfigFileTellsAllMistakes(t *testing.T) {
	_, err := parseConfig("c.json", []byte("{\"a\": 1,\n\"b\": 2,\n\"dev\": 3}"), testFlags)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three lines, got %v", err)
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"listen", "lisen", 1}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: %d", c.a, c.b, got)
		}
	}
}

// A configuration file never makes the parser panic or read past its end.
func FuzzConfigFile(f *testing.F) {
	f.Add(`{"listen": ":80", "dev": true}`)
	f.Add(`{"listen": [{"a":[1,2]}], "x": null}`)
	f.Fuzz(func(t *testing.T, src string) {
		values, err := parseConfig("c.json", []byte(src), testFlags)
		if err != nil && strings.Contains(err.Error(), ":0:") {
			t.Errorf("a place without a line: %v", err)
		}
		for key := range values {
			if _, ok := testFlags[key]; !ok {
				t.Errorf("unknown key %q was taken", key)
			}
		}
	})
}
