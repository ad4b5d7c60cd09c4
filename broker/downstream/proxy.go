package downstream

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Sizes of PROXY headers in bytes, from the protocol's specification.
const (
	proxyTells   = len("PROXY") // so many tell the version, and whether it is a header at all
	proxyV1Least = len("PROXY UNKNOWN\r\n")
	proxyV1Most  = 107
	proxyV2Head  = 16 // signature, command, family, length
	proxyV2Most  = 4 << 10
)

var errNoProxyHeader = errors.New("PROXY header missing")

// readProxy reads the header that a listed peer must send, and not one byte more: what follows
// belongs to TLS (W1). It returns the client's address; for a connection of the peer's own (LOCAL,
// UNKNOWN), which it makes to see if we live, ok is false. Of a header only the addresses are
// used: its TLVs may claim a certificate or TLS, and prove neither (A25).
func readProxy(r io.Reader) (client netip.AddrPort, ok bool, err error) {
	header, err := readProxyHeader(r)
	if err != nil {
		return netip.AddrPort{}, false, err
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		return netip.AddrPort{}, false, fmt.Errorf("PROXY header: %w", err)
	}
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return netip.AddrPort{}, false, nil
	}
	source, isTCP := h.SourceAddr.(*net.TCPAddr)
	if !isTCP {
		return netip.AddrPort{}, false, errors.New("PROXY header: not for TCP")
	}
	return unmap(source.AddrPort()), true, nil
}

// readProxyHeader returns the bytes of one header of either version, of bounded length.
func readProxyHeader(r io.Reader) ([]byte, error) {
	b := make([]byte, proxyV1Least, proxyV1Most)
	if _, err := io.ReadFull(r, b[:proxyTells]); err != nil {
		return nil, err
	}
	if tells := string(b[:proxyTells]); tells != string(proxyproto.SIGV1) && tells != string(proxyproto.SIGV2[:proxyTells]) {
		return nil, errNoProxyHeader // a client's first packet may be shorter than a header, and more may never come
	}
	if _, err := io.ReadFull(r, b[proxyTells:]); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(b, proxyproto.SIGV1):
		return readProxyLine(r, b)
	case bytes.HasPrefix(b, proxyproto.SIGV2):
		return readProxyBinary(r, b)
	}
	return nil, errNoProxyHeader
}

// readProxyLine reads version 1 byte by byte up to its line feed.
func readProxyLine(r io.Reader, b []byte) ([]byte, error) {
	for b[len(b)-1] != '\n' {
		if len(b) == proxyV1Most {
			return nil, errors.New("PROXY header: line too long")
		}
		b = b[:len(b)+1]
		if err := readOne(r, b[len(b)-1:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func readProxyBinary(r io.Reader, b []byte) ([]byte, error) {
	b = b[:proxyV2Head]
	if err := readOne(r, b[proxyV2Head-1:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(b[proxyV2Head-2:]))
	if n > proxyV2Most {
		return nil, fmt.Errorf("PROXY header: %d bytes", n)
	}
	header := make([]byte, proxyV2Head+n)
	copy(header, b)
	_, err := io.ReadFull(r, header[proxyV2Head:])
	return header, err
}

func readOne(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	return err
}

// unmap makes ::ffff:10.0.0.1 the 10.0.0.1 it is (A123).
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// peerAddr is the socket's peer; zero for a unix socket.
func peerAddr(conn net.Conn) netip.AddrPort {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return unmap(a.AddrPort())
	}
	return netip.AddrPort{}
}

func listed(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr.WithZone("")) {
			return true
		}
	}
	return false
}
