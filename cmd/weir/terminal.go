package main

import (
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// screen is the size of a terminal, in characters; zero where there is none.
type screen struct{ width, height int }

// screenOf returns what f is connected to.
func screenOf(f *os.File) (s screen) {
	var size struct{ rows, columns, _, _ uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return s
	}
	if s = (screen{int(size.columns), int(size.rows)}); s.width == 0 || s.height == 0 {
		s = screen{80, 24} // a terminal that does not know its size
	}
	return s
}

// terminal is the size of the terminal that con prints to; ok is false where it prints elsewhere.
func (con console) terminal() (s screen, ok bool) {
	if con.screen == nil {
		return s, false
	}
	s = con.screen()
	return s, s.width > 0
}

// colours says whether output may be coloured: on a terminal, unless NO_COLOR or TERM forbid it.
func (con console) colours() bool {
	_, ok := con.terminal()
	return ok && con.env("NO_COLOR") == "" && con.env("TERM") != "dumb"
}

// tame replaces what would steer a terminal.
func tame(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}
