package admin

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// errLeft ends a command whose client has gone while it waited.
var errLeft = errors.New("the client has left")

// input is what a client sends: its socket, and what was read from it too early.
type input struct {
	conn  net.Conn
	ahead []byte // maxMessage at most
}

func (in *input) Read(b []byte) (int, error) {
	if len(in.ahead) == 0 {
		return in.conn.Read(b)
	}
	n := copy(b, in.ahead)
	in.ahead = in.ahead[n:]
	return n, nil
}

// watch calls left when the client goes away before stop is called; meanwhile it reads ahead. Neither
// Read nor a second watch may run beside it. When ctx has ended, the read deadline stays as whoever
// ended it has set it.
func (in *input) watch(ctx context.Context, left context.CancelCauseFunc) (stop func()) {
	var reading sync.WaitGroup
	reading.Go(func() { // ends with stop at the latest
		var b [512]byte
		for len(in.ahead) <= maxMessage-len(b) {
			n, err := in.conn.Read(b[:])
			in.ahead = append(in.ahead, b[:n]...)
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				return
			}
			if err != nil {
				left(errLeft)
				return
			}
		}
	})
	past := time.Unix(1, 0)
	return func() {
		in.conn.SetReadDeadline(past)
		reading.Wait()
		in.conn.SetReadDeadline(time.Time{})
		if ctx.Err() != nil { // it may have set its deadline before
			in.conn.SetReadDeadline(past)
		}
	}
}
