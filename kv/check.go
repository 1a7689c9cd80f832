package kv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// CheckKey says with [ErrKey] why key is none. A key is any text in UTF-8 of 1 to MaxKey
// bytes, compared byte for byte: slashes, percent signs, spaces and control characters are
// bytes like others. What is no UTF-8 is refused, because JSON would make one key of many.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it is empty; a key has 1 to %d bytes", ErrKey, MaxKey)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: it has %d bytes; a key has 1 to %d", ErrKey, len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: %.80q is no UTF-8; encode bytes, in hex or base64", ErrKey, key)
	}
	return nil
}

// CheckKeys says with [ErrKey] why keys cannot be asked for together.
func CheckKeys(keys []string) error {
	if len(keys) > MaxMany {
		return fmt.Errorf("%w: %d of them; one call asks for at most %d", ErrKey, len(keys), MaxMany)
	}
	for i, key := range keys {
		if err := CheckKey(key); err != nil {
			return fmt.Errorf("number %d: %w", i, err)
		}
	}
	return nil
}

// Check says with [ErrInvalid] why d cannot be kept.
func (d *Draft) Check() error {
	switch {
	case len(d.Bytes) > MaxValue:
		return fmt.Errorf("%w: %d bytes; a value has at most %d", ErrInvalid, len(d.Bytes), MaxValue)
	case len(d.Type) > MaxType || strings.ContainsFunc(d.Type, unprintable):
		return fmt.Errorf("%w: type %.80q; a media type has at most %d printable ASCII characters", ErrInvalid, d.Type, MaxType)
	}
	if err := checkMetadata(d.Metadata); err != nil {
		return err
	}
	if err := checkTags(d.Tags); err != nil {
		return err
	}
	return checkLifetime(d.TTL, d.Stale)
}

func checkMetadata(m json.RawMessage) error {
	switch {
	case len(m) > MaxMetadata:
		return fmt.Errorf("%w: metadata of %d bytes; it has at most %d", ErrInvalid, len(m), MaxMetadata)
	case len(m) > 0 && (!json.Valid(m) || !utf8.Valid(m)):
		return fmt.Errorf("%w: metadata is no JSON; strings need quotes", ErrInvalid)
	}
	return nil
}

func checkTags(tags []string) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("%w: %d tags; a value has at most %d", ErrInvalid, len(tags), MaxTags)
	}
	for i, tag := range tags {
		switch {
		case tag == "" || len(tag) > MaxTag:
			return fmt.Errorf("%w: tag %d has %d bytes; a tag has 1 to %d", ErrInvalid, i, len(tag), MaxTag)
		case !utf8.ValidString(tag) || strings.ContainsFunc(tag, func(c rune) bool { return c < ' ' || c == 0x7f || c == ',' }):
			return fmt.Errorf("%w: tag %d, %.80q; a tag is UTF-8 without control characters and commas", ErrInvalid, i, tag)
		case strings.TrimSpace(tag) != tag:
			return fmt.Errorf("%w: tag %d, %.80q, begins or ends with a space", ErrInvalid, i, tag)
		}
	}
	return nil
}

func checkLifetime(ttl, stale time.Duration) error {
	switch {
	case ttl < 0 || stale < 0:
		return fmt.Errorf("%w: ttl %v, stale %v; neither is negative, and without a ttl a value stays for ever", ErrInvalid, ttl, stale)
	case ttl > MaxLifetime || stale > MaxLifetime-ttl:
		return fmt.Errorf("%w: ttl %v, stale %v; together they are at most 100 years, and without a ttl a value stays for ever", ErrInvalid, ttl, stale)
	case ttl == 0 && stale > 0:
		return fmt.Errorf("%w: stale %v without a ttl: a value that stays for ever never goes stale; give a ttl too", ErrInvalid, stale)
	}
	return nil
}

func unprintable(c rune) bool { return c < ' ' || c > '~' }

// Check says with [ErrInvalid] that c can never hold.
func (c Condition) Check() error {
	if c.Absent && (c.Present || c.Version != 0) {
		return fmt.Errorf("%w: a condition that wants a value to be there and not to be there", ErrInvalid)
	}
	return nil
}

// Check says with [ErrInvalid] why i is no increment.
func (i Increment) Check() error { return checkLifetime(i.TTL, 0) }

// compact is metadata without line ends and other white space, nil when there is none.
func compact(m json.RawMessage) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	var b bytes.Buffer
	_ = json.Compact(&b, m) // it was checked
	return b.Bytes()
}
