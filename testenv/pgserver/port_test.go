package pgserver

import (
	"fmt"
	"net"
	"testing"
)

// A port that FreePort has named is given to nobody who asks the kernel for any.
func TestFreePortStaysFree(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if given := l.Addr().(*net.TCPAddr).Port; given == port {
			t.Fatalf("the kernel gives port %d to somebody else", port)
		}
	}
	l, err := net.Listen("tcp4", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
