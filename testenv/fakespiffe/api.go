// Package fakespiffe is a SPIFFE Workload API in the test's own process: it hands out the SVID and the
// bundles that a test pushes.
//
// It attests nobody and issues nothing: a test makes the certificates with testenv/pki.
package fakespiffe

import (
	"cmp"
	"encoding/binary"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// Status codes of gRPC that the fake API refuses with.
const (
	OK               = 0
	InvalidArgument  = 3
	PermissionDenied = 7
)

// Answer is an X509SVIDResponse of the Workload API (workload.proto), as far as tests need it.
type Answer struct {
	SVID, Key, Bundle []byte            // DER, the key in PKCS #8; nil SVID: a response without SVIDs
	ID                string            // the SVID's; default: spiffe://a.example/ns/db/sa/broker
	Federated         map[string][]byte // bundles in DER by the trust domain's spiffe:// URI
}

// encode writes the protobuf message by hand: that keeps gRPC's server out of the module's imports.
func (a *Answer) encode() []byte {
	var out []byte
	if a.SVID != nil {
		var s []byte
		for i, field := range [][]byte{[]byte(cmp.Or(a.ID, "spiffe://a.example/ns/db/sa/broker")), a.SVID, a.Key, a.Bundle} {
			s = appendField(s, i+1, field)
		}
		out = appendField(out, 1, s)
	}
	for domain, der := range a.Federated {
		out = appendField(out, 3, appendField(appendField(nil, 1, []byte(domain)), 2, der))
	}
	return out
}

// appendField appends a length-delimited field.
func appendField(b []byte, number int, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// API serves FetchX509SVID from memory, gRPC over HTTP/2 without TLS: each push goes to every
// open stream.
type API struct {
	mu     sync.Mutex
	answer *Answer
	code   int           // other than OK: streams are refused
	pushed chan struct{} // closed at every push
}

// Push sends an answer, or ends every stream with a code other than OK. Streams that are opened later
// begin with it.
func (f *API) Push(a *Answer, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer, f.code = a, code
	close(f.pushed)
	f.pushed = make(chan struct{})
}

// ServeHTTP is one stream of FetchX509SVID.
func (f *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	end := func(code int) { w.Header().Set("Grpc-Status", strconv.Itoa(code)) }
	if r.URL.Path != "/SpiffeWorkloadAPI/FetchX509SVID" || r.Header.Get("workload.spiffe.io") != "true" {
		end(InvalidArgument)
		return
	}
	for {
		f.mu.Lock()
		a, code, pushed := f.answer, f.code, f.pushed
		f.mu.Unlock()
		if code != OK {
			end(code)
			return
		}
		message := a.encode()
		frame := append([]byte{0}, binary.BigEndian.AppendUint32(nil, uint32(len(message)))...) // not compressed
		if _, err := w.Write(append(frame, message...)); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-pushed:
		case <-r.Context().Done():
			return
		}
	}
}

// Start serves a fake API on a socket; the test's end stops it.
func Start(t *testing.T, path string, first *Answer) *API {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f := &API{answer: first, pushed: make(chan struct{})}
	srv := &http.Server{Handler: f, Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	return f
}
