package downstream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsignet/pgsignet/broker/downstream"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// admitted is what came of a start-up.
type admitted struct {
	Who, Key, Reason string
	Answers          string // what the peer has read
	Left             int    // bytes that were not read
}

func start(in, cuts []byte, admit func(net.Conn) (*downstream.Client, *downstream.Cancel, error)) (a admitted) {
	c := &fakepg.Script{Says: in, Cuts: cuts}
	client, cancel, err := admit(c)
	if client != nil {
		a.Who = fmt.Sprintf("%+v", client.Startup)
	}
	if cancel != nil {
		a.Key = fmt.Sprintf("%+v", cancel.Key)
	}
	if refused, ok := errors.AsType[*downstream.AdmitError](err); ok {
		a.Reason = refused.Reason + " at " + refused.Stage
	}
	a.Answers, a.Left = string(c.Heard), len(c.Says)
	return a
}

// preamble is what stands before a start-up packet: how long the requests are that are answered with
// N, each kind once, and those answers.
func preamble(in []byte) (length int, answers string) {
	asked := map[string]bool{}
	for len(in) >= length+8 {
		request := string(in[length : length+8])
		if request != string(sslRequest) && request != string(gssRequest) || asked[request] {
			break
		}
		asked[request] = true
		length, answers = length+8, answers+"N"
	}
	return length, answers
}

// W1, W3, W4: whatever comes, and in whatever pieces: each request for encryption has one answer, not a
// byte behind the start-up packet or the cancel request is taken, nobody is admitted in plaintext.
func FuzzAdmit(f *testing.F) {
	behind := []byte("Q\x00\x00\x00\x05\x00")
	for _, in := range [][]byte{
		login, append(append([]byte{}, login...), behind...), append(append([]byte{}, sslRequest...), login...),
		bytes.Join([][]byte{gssRequest, sslRequest, login, behind}, nil), bytes.Join([][]byte{gssRequest, gssRequest}, nil),
		append(append([]byte{}, sslRequest...), 0x16, 3, 1, 0, 5), {0x16, 3, 1, 2, 0, 1}, []byte("GET / HTTP/1.1\r\n\r\n"),
		packet(80877102, "12345678"), {0, 0, 0, 7}, {0x7f, 0xff, 0xff, 0xff},
	} {
		f.Add(in, []byte{})
		f.Add(in, []byte{0, 3})
	}
	cfg := &downstream.Config{TLS: func() *tls.Config { return &tls.Config{NextProtos: []string{"postgresql"}} }, PlaintextCancel: true}
	local := func(c net.Conn) (*downstream.Client, *downstream.Cancel, error) {
		return downstream.AdmitLocal(context.Background(), c, 0)
	}
	remote := func(c net.Conn) (*downstream.Client, *downstream.Cancel, error) {
		return downstream.Admit(context.Background(), c, cfg)
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		got := start(in, cuts, local)
		if diff := cmp.Diff(start(in, nil, local), got); diff != "" {
			t.Fatalf("in pieces of %v (+) it is another start-up than whole (-):\n%s", cuts, diff)
		}
		length, answers := preamble(in)
		if got.Answers != answers {
			t.Fatalf("answered %q, want %q", got.Answers, answers)
		}
		if got.Who != "" || got.Key != "" {
			if want := len(in) - length - int(binary.BigEndian.Uint32(in[length:])); got.Left != want {
				t.Fatalf("%d bytes are left for the session, want %d", got.Left, want)
			}
		}
		plain := start(in, cuts, remote)
		if whole := start(in, nil, remote); whole.Who != plain.Who || whole.Key != plain.Key || whole.Reason != plain.Reason {
			t.Fatalf("without TLS, in pieces %+v, whole %+v", plain, whole)
		}
		if plain.Who != "" {
			t.Fatalf("admitted in plaintext: %s", plain.Who)
		}
	})
}
