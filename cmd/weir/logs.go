package main

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logLevel is the lowest level that is written.
type logLevel struct{ zapcore.Level }

// UnmarshalText parses debug, info, warn or error.
func (l *logLevel) UnmarshalText(text []byte) error {
	switch string(text) {
	case "debug", "info", "warn", "error":
		return l.Level.UnmarshalText(text)
	}
	return fmt.Errorf("%q is not a level; the levels are debug, info, warn and error", text)
}

// logFormat is "console" for people or "json" for machines.
type logFormat string

// UnmarshalText parses console or json.
func (f *logFormat) UnmarshalText(text []byte) error {
	switch string(text) {
	case "console", "json":
		*f = logFormat(text)
		return nil
	}
	return fmt.Errorf("%q is not a format; the formats are console and json", text)
}

// newLogger writes to w, one line an entry.
func newLogger(w io.Writer, level logLevel, format logFormat) *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.ISO8601TimeEncoder
	encoder := zapcore.NewJSONEncoder(config)
	if format == "console" {
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		config.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(config)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level))
}

// troubleReporter logs errors that no client sees. The same error can come with
// every request, while a disk is full for example: of each text, three lines a
// minute are logged, and then every thousandth.
func troubleReporter(log *zap.Logger) func(error) {
	sampled := log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 3, 1000)
	}))
	return func(err error) { sampled.Warn(err.Error()) }
}
