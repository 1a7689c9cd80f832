package rfc9111

import (
	"net/http"
	"strings"
	"time"
)

// dateForm is a form of HTTP-date behind the name of its day.
type dateForm struct {
	shape  string // 9 is a digit, a a letter, _ a digit or a space; the rest is itself
	layout string // for package time
	full   bool   // whether the day's name is written out
}

// The forms of RFC 9110 5.6.7. Years of two digits beyond 68 are of the last century, so
// that none lies more than 50 years ahead.
var (
	fixDate    = dateForm{", 99 aaa 9999 99:99:99 GMT", ", 02 Jan 2006 15:04:05 GMT", false}
	rfc850Date = dateForm{", 99-aaa-99 99:99:99 GMT", ", 02-Jan-06 15:04:05 GMT", true}
	cDate      = dateForm{" aaa _9 99:99:99 9999", " Jan _2 15:04:05 2006", false}
)

// parseDate parses an HTTP-date in any case, RFC 9111 4.2, but in nothing else more liberally
// than RFC 9110 5.6.7: package time allows hours of one digit, and more spaces than one.
// Whether the day's name is that of the day is not looked at.
func parseDate(value string) (time.Time, bool) {
	day := strings.IndexAny(value, ", ")
	if day < 0 {
		return time.Time{}, false
	}
	form := &fixDate
	switch {
	case value[day] == ' ':
		form = &cDate
	case len(value)-day == len(rfc850Date.shape):
		form = &rfc850Date
	}
	if !isDay(value[:day], form.full) || !hasShape(value[day:], form.shape) {
		return time.Time{}, false
	}
	if form == &fixDate {
		return parseFixDate(value[day:])
	}
	// A leap second is the second after 59, RFC 9110 5.6.7.
	text, leap := value[day:], time.Duration(0)
	if at := strings.LastIndexByte(text, ':') + 1; text[at:at+2] == "60" {
		text, leap = text[:at]+"59"+text[at+2:], time.Second
	}
	if !strings.HasSuffix(text, "GMT") { // months are known in any case
		text = strings.ToUpper(text)
	}
	t, err := time.Parse(form.layout, text)
	return t.Add(leap), err == nil
}

// parseFixDate parses what has the shape of fixDate, the form of nearly all dates: this takes half
// the time that package time takes.
func parseFixDate(s string) (time.Time, bool) {
	number := func(at int) int { return int(s[at]-'0')*10 + int(s[at+1]-'0') }
	day, year := number(2), number(9)*100+number(11)
	hour, minute, second := number(14), number(17), number(20)
	leap := time.Duration(0)
	if second == 60 { // the second after 59, RFC 9110 5.6.7
		second, leap = 59, time.Second
	}
	month := nameIn(months, s[5:8]) + 1
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return t.Add(leap), month > 0 && day > 0 && t.Day() == day && hour < 24 && minute < 60 && second < 60
}

const (
	days   = "SunMonTueWedThuFriSat"
	months = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

// nameIn says which of the names in list, of three letters each, is name in any case; -1 is none.
func nameIn(list, name string) int {
	if at := strings.Index(list, name); at >= 0 && at%3 == 0 {
		return at / 3 // as nearly all write it
	}
	for at := 0; at < len(list); at += 3 {
		if strings.EqualFold(list[at:at+3], name) {
			return at / 3
		}
	}
	return -1
}

// isDay says whether name is a day's, of three letters or in full.
func isDay(name string, full bool) bool {
	if !full {
		return len(name) == 3 && nameIn(days, name) >= 0
	}
	for day := time.Sunday; day <= time.Saturday; day++ {
		if strings.EqualFold(name, day.String()) {
			return true
		}
	}
	return false
}

// hasShape compares s with the shape of a form, see dateForm.
func hasShape(s, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		c, ok := s[i], false
		switch shape[i] {
		case '9':
			ok = c-'0' < 10
		case 'a':
			ok = c|0x20-'a' < 26
		case '_':
			ok = c-'0' < 10 || c == ' '
		case c:
			ok = true
		default:
			ok = shape[i] == c&^0x20 && c-'a' < 26
		}
		if !ok {
			return false
		}
	}
	return true
}

// fieldTime parses a field that holds one HTTP-date.
func fieldTime(h http.Header, name string) (time.Time, bool) {
	lines := h[name]
	if len(lines) != 1 {
		return time.Time{}, false
	}
	return parseDate(lines[0])
}
