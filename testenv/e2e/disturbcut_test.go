package e2e

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
)

// cutter stands between broker and server and breaks connections, at any byte.
type cutter struct {
	net.Listener
	to string

	mu    sync.Mutex
	lines []*line
	done  sync.WaitGroup
}

// line is one connection of the cutter's: the broker's end and the server's.
type line struct {
	ends [2]*net.TCPConn

	mu   sync.Mutex
	left int // bytes that still pass; negative: any number
}

func newCutter(t *testing.T, to string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, to: to}
	c.done.Go(c.accept)
	t.Cleanup(func() {
		l.Close()
		c.cut(rand.New(rand.NewPCG(1, 1)), 1<<10, 0)
		c.done.Wait()
	})
	return c
}

func (c *cutter) accept() {
	for {
		conn, err := c.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.to)
		if err != nil {
			conn.Close()
			continue
		}
		l := &line{ends: [2]*net.TCPConn{conn.(*net.TCPConn), server.(*net.TCPConn)}, left: -1}
		c.mu.Lock()
		c.lines = append(c.lines, l)
		c.mu.Unlock()
		c.done.Go(func() { c.carry(l, 0) })
		c.done.Go(func() { c.carry(l, 1) })
	}
}

// carry copies from one end of a line to the other until either ends or the line is cut.
func (c *cutter) carry(l *line, from int) {
	buf := make([]byte, 16<<10)
	for {
		n, err := l.ends[from].Read(buf)
		pass, cut := l.pass(n)
		if pass > 0 {
			_, werr := l.ends[1-from].Write(buf[:pass])
			cut = cut || werr != nil
		}
		if cut || err != nil {
			l.close()
			c.mu.Lock()
			c.lines = slices.DeleteFunc(c.lines, func(other *line) bool { return other == l })
			c.mu.Unlock()
			return
		}
	}
}

// pass says how many of n bytes still pass, and whether the line ends with them.
func (l *line) pass(n int) (pass int, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left < 0 {
		return n, false
	}
	pass = min(n, l.left)
	l.left -= pass
	return pass, l.left == 0
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range l.ends {
		end.SetLinger(0) // a reset: no network says in the server's name that it has done what a cancel request asks
		end.Close()
	}
}

// calm keeps the lines that were to be cut later.
func (c *cutter) calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lines {
		l.mu.Lock()
		if l.left > 0 {
			l.left = -1
		}
		l.mu.Unlock()
	}
}

// cut breaks some lines, after a number of bytes below within.
func (c *cutter) cut(random *rand.Rand, some, within int) {
	c.mu.Lock()
	lines := slices.Clone(c.lines)
	c.mu.Unlock()
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	for _, l := range lines[:min(some, len(lines))] {
		l.mu.Lock()
		l.left = random.IntN(within + 1)
		now := l.left == 0
		l.mu.Unlock()
		if now {
			l.close()
		}
	}
}
