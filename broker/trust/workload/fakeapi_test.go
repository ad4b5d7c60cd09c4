package workload

import (
	"encoding/binary"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// Status codes of gRPC that the fake API refuses with.
const (
	codeOK               = 0
	codeInvalidArgument  = 3
	codePermissionDenied = 7
)

// answer is an X509SVIDResponse of the Workload API (workload.proto), as far as tests need it.
type answer struct {
	svid, key, bundle []byte // DER; nil svid: a response without SVIDs
	federated         map[string][]byte
}

// encode writes the protobuf message by hand: that keeps gRPC's server out of the module's imports.
func (a *answer) encode() []byte {
	var out []byte
	if a.svid != nil {
		var s []byte
		for i, field := range [][]byte{[]byte("spiffe://a.example/ns/db/sa/broker"), a.svid, a.key, a.bundle} {
			s = appendField(s, i+1, field)
		}
		out = appendField(out, 1, s)
	}
	for domain, der := range a.federated {
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

// fakeAPI serves FetchX509SVID from memory, gRPC over HTTP/2 without TLS: each push goes to every
// open stream.
type fakeAPI struct {
	mu     sync.Mutex
	answer *answer
	code   int           // other than codeOK: streams are refused
	pushed chan struct{} // closed at every push
}

func (f *fakeAPI) push(a *answer, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer, f.code = a, code
	close(f.pushed)
	f.pushed = make(chan struct{})
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	end := func(code int) { w.Header().Set("Grpc-Status", strconv.Itoa(code)) }
	if r.URL.Path != "/SpiffeWorkloadAPI/FetchX509SVID" || r.Header.Get("workload.spiffe.io") != "true" {
		end(codeInvalidArgument)
		return
	}
	for {
		f.mu.Lock()
		a, code, pushed := f.answer, f.code, f.pushed
		f.mu.Unlock()
		if code != codeOK {
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

// serve starts a fake API on a socket; the test's end stops it.
func serve(t *testing.T, path string, first *answer) *fakeAPI {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeAPI{answer: first, pushed: make(chan struct{})}
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
