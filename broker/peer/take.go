package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// Taken is what a new process has from the one that serves: it still serves, and goes on to until
// Finish. The zero value has nothing.
type Taken struct {
	// Locks are in force there, and at the other nodes that serve beside it.
	Locks []json.RawMessage

	conn    *Conn // nil: nobody served
	sockets map[Name]net.Listener
}

// Deadlines of a hand-over: for the old process to answer, and for the new one to be serving.
const (
	answerTimeout = 10 * time.Second
	HandTimeout   = time.Minute
)

// TakeOver asks the processes in the directory for the sockets of that node. Nobody there, or nobody that
// serves, is no error: there is nothing to take then. beside: other nodes may serve from this directory,
// too, and have nothing to give but their locks. Of two processes of one node that start at once one serves
// first, and the other takes over from it.
func (p *Place) TakeOver(ctx context.Context, node string, beside bool) (*Taken, error) {
	others := p.Others()
	defer p.answerMeanwhile(node, beside, others)()
	all := &Taken{}
	for _, name := range others {
		t, err := p.takeFrom(ctx, name, &Message{Do: Take, Node: node, Beside: beside, From: p.name})
		for end := time.Now().Add(HandTimeout); errors.Is(err, errStarting) && time.Now().Before(end); {
			if err = pause(ctx, startingPause); err == nil {
				t, err = p.takeFrom(ctx, name, &Message{Do: Take, Node: node, Beside: beside, From: p.name})
			}
		}
		switch {
		case errors.Is(err, ErrDead):
		case err != nil:
			all.Close()
			return nil, err
		case t != nil && t.conn != nil:
			t.Locks = append(t.Locks, all.Locks...)
			return t, nil // it has what the other nodes have locked
		case t != nil:
			all.Locks = append(all.Locks, t.Locks...)
		}
	}
	return all, nil
}

// errStarting is a process of the same node that will serve before the one that asks it.
var errStarting = errors.New("a process of the same node is starting")

// startingPause is how long the later of two that start waits before it asks again.
const startingPause = 50 * time.Millisecond

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// answerMeanwhile tells whoever asks that this process does not serve, until stop is called: two that
// start at once would else wait for each other. others are those that this one asks.
func (p *Place) answerMeanwhile(node string, beside bool, others []string) (stop func()) {
	var answering sync.WaitGroup
	answering.Go(func() { // until the deadline that stop sets
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(meanwhileTimeout))
			m, files, err := c.Receive()
			closeAll(files)
			if err == nil && m.Do == Take && m.Node == node && p.precedes(m.From, others) {
				c.Send(&Message{Do: Starting})
			} else if err == nil && m.Do == Take && m.Node != node && !(beside && m.Beside) {
				c.Send(&Message{Do: Refused, Error: OtherNode(node, m.Node).Error()})
			} else if err == nil && m.Do == Take {
				c.Send(&Message{Do: Released})
			} else if err == nil {
				c.Send(&Message{Do: Refused, Error: "this process does not serve yet"})
			}
			c.Close()
		}
	})
	return func() {
		p.l.SetDeadline(time.Unix(1, 0))
		answering.Wait()
		p.l.SetDeadline(time.Time{})
	}
}

// OtherNode is why a process of node other gets nothing from the directory of node.
func OtherNode(node, other string) error {
	return fmt.Errorf("node %q uses this runtime_dir: give node %q another, or both brokers listeners with reuse_port", node, other)
}

// precedes says whether this process serves before another of its node that starts, too: one that it did not
// find there has come later; of two that ask each other it is the one with the lesser name.
func (p *Place) precedes(other string, others []string) bool {
	return other != "" && (!slices.Contains(others, other) || p.name < other)
}

// meanwhileTimeout is how long a process that is starting waits for what another has to say.
const meanwhileTimeout = time.Second

// takeFrom asks one process; nil when it does not serve.
func (p *Place) takeFrom(ctx context.Context, name string, take *Message) (*Taken, error) {
	c, err := p.Dial(ctx, name)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(answerTimeout))
	m, files, err := ask(c, take)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		c.Close()
		return nil, fmt.Errorf("ask %s for its sockets: its process does not answer within %v; it has them until it ends", p.path(name), answerTimeout)
	case err != nil:
		c.Close()
		return nil, fmt.Errorf("ask %s for its sockets: %w", p.path(name), err)
	case m.Do == Released:
		c.Close()
		return nil, nil
	case m.Do == Starting:
		c.Close()
		return nil, fmt.Errorf("ask %s for its sockets: %w", p.path(name), errStarting)
	case m.Do == Sibling:
		c.Close()
		return &Taken{Locks: m.Locks}, nil
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
