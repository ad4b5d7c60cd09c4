package admin

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

// waiter is a broker whose commands wait until they are ended.
type waiter struct {
	crowd
	began chan struct{}
	ended chan error
	over  chan struct{} // closed: commands are done
}

func (w *waiter) Do(ctx context.Context, _ Command) (Done, error) {
	w.began <- struct{}{}
	select {
	case <-ctx.Done():
		w.ended <- context.Cause(ctx)
		return Done{}, context.Cause(ctx)
	case <-w.over:
		return Done{}, nil
	}
}

// While a command waits its client may go away, which ends it, or send more, which is answered behind it.
func TestCommandThatWaitsSeesItsClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, leaves := range []bool{true, false} {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		w := &waiter{began: make(chan struct{}), ended: make(chan error, 1), over: make(chan struct{})}
		c := &Console{Broker: w, Rights: func() Rights { return Operator }, Conn: conn}
		served := make(chan error, 1)
		go func() { served <- c.Serve(t.Context()) }()
		io.WriteString(client, message('Q', "PAUSE\x00"))
		<-w.began
		io.WriteString(client, message('Q', "SHOW VERSION\x00"))
		if leaves {
			client.Close()
			if err := <-w.ended; err != errLeft {
				t.Errorf("the command ended with %v, want %v", err, errLeft)
			}
		} else {
			close(w.over)
			io.WriteString(client, message('X', ""))
			answer := readTo(t, client, "SHOW\x00")
			if i := strings.Index(answer, "PAUSE\x00Z"); i < 0 || i > strings.Index(answer, "PgBouncer 1.25.2") {
				t.Errorf("answered %q", answer)
			}
			client.Close()
		}
		<-served // with an error or not: the client is gone
		conn.Close()
	}
}

// readTo reads until what was read holds end.
func readTo(t *testing.T, r io.Reader, end string) string {
	t.Helper()
	var got []byte
	for b := make([]byte, 512); !strings.Contains(string(got), end); {
		n, err := r.Read(b)
		if got = append(got, b[:n]...); err != nil {
			t.Fatalf("%v behind %q", err, got)
		}
	}
	return string(got)
}
