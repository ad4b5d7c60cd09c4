package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// terminal describes w: its width in characters, and whether to use colour (https://no-color.org).
// Anything but a terminal has width 0 and no colour.
func terminal(w io.Writer) (width uint, color bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	return uint(size.Col), os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
