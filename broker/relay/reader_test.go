package relay

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

// A16 to A18: a client that breaks TLS in its session has not just left.
func TestReadEnd(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Reason
	}{
		{io.EOF, ClientClosed},
		{io.ErrUnexpectedEOF, ClientClosed},
		{net.ErrClosed, ClientClosed},
		{io.ErrClosedPipe, ClientClosed},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, ClientClosed},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, ClientClosed},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(80)}, ClientClosed},
		{&net.OpError{Op: "local error", Err: tls.AlertError(20)}, ProtocolError},
		{errors.New("tls: too many ignored records"), ProtocolError},
		{tls.RecordHeaderError{Msg: "unsupported"}, ProtocolError},
	} {
		if got := readEnd(tt.err); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
}
