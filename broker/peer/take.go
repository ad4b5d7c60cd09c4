package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Taken is what a new process has from the one that serves: it still serves, and goes on to until
// Finish. The zero value has nothing.
type Taken struct {
	// Locks are in force there.
	Locks []json.RawMessage

	conn    *Conn // nil: nobody served
	sockets map[Name]net.Listener
}

// Deadlines of a hand-over: for the old process to answer, and for the new one to be serving.
const (
	answerTimeout = 10 * time.Second
	HandTimeout   = time.Minute
)

// TakeOver asks the processes in the directory for their sockets. Nobody there, or nobody that
// serves, is no error: there is nothing to take then.
func (p *Place) TakeOver(ctx context.Context, node string) (*Taken, error) {
	for _, name := range p.Others() {
		t, err := p.takeFrom(ctx, name, node)
		if errors.Is(err, ErrDead) || t == nil && err == nil {
			continue
		}
		return t, err
	}
	return &Taken{}, nil
}

// takeFrom asks one process; nil when it does not serve.
func (p *Place) takeFrom(ctx context.Context, name, node string) (*Taken, error) {
	c, err := p.Dial(ctx, name)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(answerTimeout))
	m, files, err := ask(c, &Message{Do: Take, Node: node})
	switch {
	case err != nil:
		c.Close()
		return nil, fmt.Errorf("ask %s for its sockets: %w", p.path(name), err)
	case m.Do == Released:
		c.Close()
		return nil, nil
	case m.Do != OK:
		closeAll(files)
		c.Close()
		return nil, fmt.Errorf("%s hands nothing over: %s", p.path(name), m.Error)
	}
	t := &Taken{Locks: m.Locks, conn: c, sockets: make(map[Name]net.Listener)}
	for i, f := range files {
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			closeAll(files[i+1:])
			t.Close()
			return nil, fmt.Errorf("socket %s: %w", m.Sockets[i].Address, err)
		}
		t.sockets[m.Sockets[i]] = l
	}
	return t, nil
}

func ask(c *Conn, m *Message) (*Message, []*os.File, error) {
	if err := c.Send(m); err != nil {
		return nil, nil, err
	}
	return c.Receive()
}

// Any says whether another process serves and has handed over what it has.
func (t *Taken) Any() bool { return t.conn != nil }

// Socket returns the listening socket of that name, which is the caller's from now on, or nil.
func (t *Taken) Socket(n Name) net.Listener {
	l := t.sockets[n]
	delete(t.sockets, n)
	if l == nil {
		return nil // not a nil in an interface
	}
	return l
}

// Finish tells the old process that this one serves, and returns once it has let go. Sockets that
// nobody asked for are closed. After an error the old process still serves, and this one must stop.
func (t *Taken) Finish() error {
	defer t.Close()
	if t.conn == nil {
		return nil
	}
	t.conn.SetDeadline(time.Now().Add(HandTimeout))
	m, _, err := ask(t.conn, &Message{Do: Serving})
	if err != nil {
		return fmt.Errorf("the old process has not let go: %w", err)
	}
	if m.Do != OK {
		return fmt.Errorf("the old process has not let go: %s", m.Error)
	}
	return t.conn.Send(&Message{Do: Settled})
}

// Close gives back what was taken and not asked for; unless Finish was called, the old process goes
// on as before.
func (t *Taken) Close() {
	for _, l := range t.sockets {
		l.Close()
	}
	clear(t.sockets)
	if t.conn != nil {
		t.conn.Close()
	}
}
