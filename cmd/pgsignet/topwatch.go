package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// topPatience is how long an answer may take before top says that it waits for one.
const topPatience = 3 * time.Second

// topWatch is `pgsignet top` on a terminal. Keys are answered at once whatever the broker does: it is asked by a
// goroutine of its own.
type topWatch struct {
	// Fixed at creation.
	flags  consoleFlags
	screen *os.File
	every  time.Duration
	asks   chan topView   // a look that is wanted
	looks  chan topAnswer // and what came of it

	// Owned by run.
	view    topView
	shown   *topLook
	trouble string
	asked   time.Time // when the look that is under way was wanted; zero without one
}

// topAnswer is a look, or why there is none.
type topAnswer struct {
	look *topLook
	err  error
}

func newTopWatch(flags consoleFlags, screen *os.File, every time.Duration) *topWatch {
	return &topWatch{flags: flags, screen: screen, every: every, asks: make(chan topView, 1), looks: make(chan topAnswer)}
}

// run draws until the user quits or a signal ends it, beginning with the console that c is connected to. The
// terminal is left as it was found.
func (w *topWatch) run(ctx context.Context, c *consoleConn, in *os.File) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if w.shown, err = w.view.look(ctx, c, nil, time.Now()); err != nil {
		return err
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	restore, err := rawTerminal(int(in.Fd()), w.screen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()

	ctx, cancel := context.WithCancel(ctx)
	keys := make(chan []byte)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	first := w.shown
	helpers.Go(func() { w.answer(ctx, c, first) })
	helpers.Go(func() { readKeys(ctx, int(in.Fd()), keys) })
	return w.loop(ctx, keys, resized)
}

// loop draws whenever something has changed.
func (w *topWatch) loop(ctx context.Context, keys <-chan []byte, resized <-chan os.Signal) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		if err := w.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case text, open := <-keys:
			if !open || w.press(text) {
				return nil
			}
		case <-resized:
		case <-tick.C:
			w.ask()
		case a := <-w.looks:
			w.take(a)
		}
	}
}

// ask wants a look, unless one is under way.
func (w *topWatch) ask() {
	switch {
	case w.asked.IsZero():
		w.asked = time.Now()
		w.asks <- w.view
	case time.Since(w.asked) > topPatience:
		w.trouble = "the broker has not answered since " + w.asked.Format(time.TimeOnly)
	}
}

// take shows what came of a look. What was wanted meanwhile is wanted still.
func (w *topWatch) take(a topAnswer) {
	w.asked = time.Time{}
	switch {
	case a.err != nil:
		w.trouble = a.err.Error()
	case a.look.pools != w.view.pools:
		w.ask()
	default:
		w.shown, w.trouble = a.look, ""
	}
}

// press acts on what was read at once; quit ends the watch. An escape sequence is a key that top does not have.
func (w *topWatch) press(text []byte) (quit bool) {
	if text[0] == 0x1b {
		return false
	}
	for _, k := range text {
		pools := w.view.pools
		if w.view.key(k) {
			return true
		}
		if w.view.pools != pools || k == ' ' {
			w.ask()
		}
	}
	return false
}

// draw shows the last look.
func (w *topWatch) draw() error {
	width, height := 80, 24
	if size, err := unix.IoctlGetWinsize(int(w.screen.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		width, height = int(size.Col), int(size.Row)
	}
	v := w.view
	v.pools = w.shown.pools
	text, err := v.frame(w.shown, w.trouble, width, height)
	if err != nil {
		return err
	}
	_, err = w.screen.Write(onScreen(text, height))
	return err
}

// onScreen replaces what a terminal shows by a frame, without a blank moment between and without scrolling: each
// line is cleared before it is written, as behind its last column that would take the character there.
func onScreen(frame []byte, height int) []byte {
	lines := bytes.Split(bytes.TrimSuffix(frame, []byte("\n")), []byte("\n"))
	lines = lines[:min(len(lines), height)]
	last := len(lines) - 1
	b := []byte("\x1b[H")
	for _, line := range lines[:last] {
		b = append(append(append(b, "\x1b[K"...), line...), "\r\n"...)
	}
	return append(append(b, "\x1b[J"...), lines[last]...)
}

// answer looks at the broker as often as it is asked, and connects anew when the connection was lost.
func (w *topWatch) answer(ctx context.Context, c *consoleConn, last *topLook) {
	own := false // c, which the caller closes, is replaced by one of ours
	defer func() {
		if own && c != nil {
			c.close()
		}
	}()
	for {
		var a topAnswer
		select {
		case <-ctx.Done():
			return
		case v := <-w.asks:
			if c == nil || c.conn.IsClosed() {
				c, a.err = dialConsole(ctx, w.flags)
				own, last = true, nil
			}
			if a.err == nil {
				a.look, a.err = v.look(ctx, c, last, time.Now())
			}
		}
		if a.err == nil {
			last = a.look
		}
		select {
		case <-ctx.Done():
			return
		case w.looks <- a:
		}
	}
}

// rawTerminal has keys read as they are pressed, and shows another screen without a cursor; restore undoes that.
func rawTerminal(fd int, screen *os.File) (restore func() error, err error) {
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	raw := *old
	raw.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 0, 1 // a read waits for a tenth of a second
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, err
	}
	fmt.Fprint(screen, "\x1b[?1049h\x1b[?25l\x1b[2J")
	return func() error {
		fmt.Fprint(screen, "\x1b[?25h\x1b[?1049l")
		return unix.IoctlSetTermios(fd, unix.TCSETS, old)
	}, nil
}

// readKeys sends what is typed on a terminal of rawTerminal until ctx ends. It closes keys when the terminal is gone.
func readKeys(ctx context.Context, fd int, keys chan<- []byte) {
	defer close(keys)
	for ctx.Err() == nil {
		buf := make([]byte, 64)
		n, err := unix.Read(fd, buf)
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return
		}
		if n <= 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case keys <- buf[:n]:
		}
	}
}
