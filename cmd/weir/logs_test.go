package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestLogFormats(t *testing.T) {
	for _, c := range []struct {
		format logFormat
		check  func(line string) bool
	}{
		{"console", func(line string) bool { return strings.Contains(line, "  INFO  shown  {\"n\": 1}") }},
		{"json", func(line string) bool { return json.Valid([]byte(line)) && strings.Contains(line, `"msg":"shown"`) }},
	} {
		var out strings.Builder
		log := newLogger(&out, logLevel{zapcore.InfoLevel}, c.format)
		log.Debug("hidden")
		log.Info("shown", zap.Int("n", 1))
		if strings.Contains(out.String(), "hidden") || !c.check(out.String()) {
			t.Errorf("%s: %q", c.format, out.String())
		}
	}
}

func TestTroubleDoesNotFloodTheLog(t *testing.T) {
	var out strings.Builder
	report := troubleReporter(newLogger(&out, logLevel{zapcore.InfoLevel}, "console"))
	for range 100 {
		report(errors.New("the disk is full"))
	}
	report(errors.New("something else"))
	if full, other := strings.Count(out.String(), "disk is full"), strings.Count(out.String(), "something else"); full != 3 || other != 1 {
		t.Errorf("%d and %d lines:\n%s", full, other, out.String())
	}
}
