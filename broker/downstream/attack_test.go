package downstream_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/downstream"
)

// A1: a start-up packet in plaintext is told what to do; its parameters are not parsed.
func TestA1PlaintextStartup(t *testing.T) {
	d := open(t, nil, nil)
	for name, in := range map[string][]byte{
		"good":                    login,
		"of 3.2":                  packet(3<<16|2, "user\x00al\x00\x00"),
		"not even well-formed":    packet(3<<16, "user\x00al"),
		"forbidden settings":      startup("user", "al", "role", "postgres"),
		"behind a GSSENCRequest":  nil,
		"10,000 bytes of nothing": packet(3<<16, strings.Repeat("x", 9996)),
	} {
		t.Run(name, func(t *testing.T) {
			p := d.dial()
			if in == nil {
				p.send(gssRequest).expect("N").send(login)
			} else {
				p.send(in)
			}
			e := p.expectError("28000")
			if !strings.Contains(e.HintText, "sslmode=verify-full") {
				t.Errorf("hint %q", e.HintText)
			}
			if got := d.refused(downstream.StageStartup, "no_tls"); got.TLS != nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A2, CVE-2021-23214: plaintext behind an SSLRequest, in its segment or after the answer.
func TestA2StuffedSSLRequest(t *testing.T) {
	d := open(t, nil, nil)
	hello := clientHello(t, d.clientTLS())
	for name, stuffed := range map[string][]byte{
		"start-up packet": login, "one byte": {0}, "a TLS handshake": hello, "a query": []byte("Q\x00\x00\x00\x04"),
	} {
		t.Run(name, func(t *testing.T) {
			d.dial().send(sslRequest, stuffed).expect("S").expectClosed()
			d.refused(downstream.StageStartup, "plaintext_injection")
		})
	}
	t.Run("after the answer", func(t *testing.T) {
		d.dial().send(sslRequest).expect("S").send(login).expectClosed()
		d.refused(downstream.StageTLS, "plaintext_injection")
	})
	t.Run("second SSLRequest after the answer", func(t *testing.T) {
		d.dial().send(sslRequest).expect("S").send(sslRequest).expectClosed()
		d.refused(downstream.StageTLS, "plaintext_injection")
	})
}

// A3: the same behind a GSSENCRequest.
func TestA3StuffedGSSENCRequest(t *testing.T) {
	d := open(t, nil, nil)
	for name, stuffed := range map[string][]byte{"start-up packet": login, "SSLRequest": sslRequest} {
		t.Run(name, func(t *testing.T) {
			d.dial().send(gssRequest, stuffed).expect("N").expectClosed()
			d.refused(downstream.StageStartup, "plaintext_injection")
		})
	}
}

// A6: inside direct TLS a request is declined once; after S, and a second time, it is a version.
func TestA6RepeatedSSLRequest(t *testing.T) {
	d := open(t, nil, nil)
	for name, p := range map[string]func() *peer{
		"after S":                d.secure,
		"twice in direct TLS":    func() *peer { return d.direct().send(sslRequest).expect("N") },
		"GSSENCRequest behind S": func() *peer { return d.secure().send(gssRequest) },
	} {
		t.Run(name, func(t *testing.T) {
			conn := p()
			if !strings.HasPrefix(name, "GSS") {
				conn.send(sslRequest)
			}
			conn.expectError("0A000")
			d.refused(downstream.StageStartup, "protocol")
		})
	}
	t.Run("once in direct TLS", func(t *testing.T) {
		d.direct().send(sslRequest).expect("N").send(login)
		d.admitted()
	})
}

// A7: GSSENCRequest is declined, then SSLRequest works; a second GSSENCRequest is a version.
func TestA7RepeatedGSSENCRequest(t *testing.T) {
	d := open(t, nil, nil)
	d.dial().send(gssRequest).expect("N").send(sslRequest).expect("S").mustEncrypt(d.clientTLS()).send(login)
	d.admitted()
	d.dial().send(gssRequest).expect("N").send(gssRequest).expectError("0A000")
	d.refused(downstream.StageStartup, "protocol")
}

// A8: direct TLS must have negotiated its protocol; the answer names ALPN.
func TestA8DirectWithoutALPN(t *testing.T) {
	d := open(t, nil, nil)
	config := d.clientTLS()
	config.NextProtos = nil
	e := d.dial().mustEncrypt(config).send(login).expectError("08P01")
	if !strings.Contains(e.Message, "ALPN") {
		t.Errorf("message %q", e.Message)
	}
	d.refused(downstream.StageStartup, "protocol")
	d.dial().send(sslRequest).expect("S").mustEncrypt(config).send(login) // libpq < 17
	d.admitted()
}

// A9: ALPN without postgresql is alert 120, direct or after SSLRequest.
func TestA9OtherALPN(t *testing.T) {
	d := open(t, nil, nil)
	config := d.clientTLS()
	config.NextProtos = []string{"h2"}
	for name, p := range map[string]*peer{"direct": d.dial(), "SSLRequest": d.dial().send(sslRequest).expect("S")} {
		t.Run(name, func(t *testing.T) {
			if _, err := p.encrypt(config); !isAlert(err, 120) {
				t.Errorf("got %v, want alert 120", err)
			}
			if e := d.refused(downstream.StageTLS, "tls"); e.Answer != nil {
				t.Errorf("answered %v", e.Answer)
			}
		})
	}
}

func isAlert(err error, number uint8) bool {
	alert, ok := errors.AsType[*net.OpError](err)
	return ok && strings.Contains(alert.Op, "remote error") && alert.Err.Error() == tls.AlertError(number).Error()
}

// A10: other protocols are closed on their first four bytes.
func TestA10OtherProtocols(t *testing.T) {
	d := open(t, nil, nil)
	for name, in := range map[string][]byte{
		"HTTP":       []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"SSH":        []byte("SSH-2.0-OpenSSH_9.2\r\n"),
		"RDP":        {3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0},
		"SSLv2":      {0x80, 0x2e, 1, 0, 2, 0, 0x15},
		"byte 0x80":  {0x80, 0, 0, 0},
		"byte 0xff":  {0xff, 0xff, 0xff, 0xff},
		"PostgreSQL": []byte("Q\x00\x00\x00\x05\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			d.dial().send(in).expectClosed()
			if e := d.refused(downstream.StageStartup, "protocol"); e.Answer != nil || e.Probe {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// A11: start-up lengths that are none, in plaintext and inside TLS.
func TestA11StartupLength(t *testing.T) {
	d := open(t, nil, nil)
	length := func(n int64) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	for name, in := range map[string][]byte{
		"0": length(0), "3": length(3), "7": length(7), "10005": length(10_005), "2^31-1": length(1<<31 - 1),
		"-1": length(-1), "-2^31": length(-1 << 31),
		"CancelRequest of 8": packet(80877102, ""),
		"key of 3 bytes":     packet(80877102, "\x00\x00\x00\x01abc"),
	} {
		for where, dial := range map[string]func() *peer{"plaintext": d.dial, "TLS": d.secure} {
			t.Run(name+" in "+where, func(t *testing.T) {
				dial().send(in).expectClosed()
				if e := d.refused(downstream.StageStartup, "protocol"); e.Answer != nil || e.Probe {
					t.Errorf("got %+v", e)
				}
			})
		}
	}
}

// A12: the deadline is one for the whole start-up; bytes that trickle in do not move it.
func TestA12SlowStartup(t *testing.T) {
	t.Parallel()
	for where, dial := range map[string]func(*door) *peer{"plaintext": (*door).dial, "TLS": (*door).secure} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			d := open(t, func(c *downstream.Config) { c.HandshakeTimeout = 3 * time.Second }, nil) // TLS takes milliseconds
			p := dial(d)
			trickle(p, packet(3<<16, strings.Repeat("x", 9996)))
			d.refused(downstream.StageStartup, "startup_timeout")
		})
	}
}

// trickle sends a byte every two milliseconds until the other side closes.
func trickle(p *peer, b []byte) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := range b {
		<-tick.C
		if _, err := p.Write(b[i : i+1]); err != nil {
			return
		}
	}
}

// A13 in small: silent sockets end at the deadline, and a good login between them succeeds.
func TestA13SilentSockets(t *testing.T) {
	t.Run("a login beside them", func(t *testing.T) {
		d := open(t, nil, nil)
		for range 20 {
			d.dial()
		}
		d.secure().send(login)
		d.admitted()
	})
	t.Run("their end", func(t *testing.T) {
		d := open(t, func(c *downstream.Config) { c.HandshakeTimeout = 500 * time.Millisecond }, nil)
		var silent []*peer
		for range 20 {
			silent = append(silent, d.dial())
		}
		for _, p := range silent {
			p.expectClosed()
			if e := d.refused(downstream.StageStartup, "startup_timeout"); e.Probe || e.Answer != nil {
				t.Errorf("got %+v", e)
			}
		}
	})
}

// A14: stalls within the handshake end at the deadline, a half-close at once.
func TestA14Stalls(t *testing.T) {
	t.Parallel()
	stall := func(name string, check func(t *testing.T, d *door, hello []byte)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// What is sent before the stall takes milliseconds.
			d := open(t, func(c *downstream.Config) { c.HandshakeTimeout = 3 * time.Second }, nil)
			check(t, d, clientHello(t, d.clientTLS()))
		})
	}
	stall("after S", func(_ *testing.T, d *door, _ []byte) {
		d.dial().send(sslRequest).expect("S").expectClosed()
		d.refused(downstream.StageTLS, "startup_timeout")
	})
	stall("within ClientHello", func(_ *testing.T, d *door, hello []byte) {
		d.dial().send(hello[:100]).expectClosed()
		d.refused(downstream.StageTLS, "startup_timeout")
	})
	stall("after CertificateRequest", func(t *testing.T, d *door, hello []byte) {
		p := d.dial().send(hello)
		if _, err := io.Copy(io.Discard, p); err != nil { // the server's flight, then the end
			t.Error(err)
		}
		d.refused(downstream.StageTLS, "startup_timeout")
	})
	stall("after the handshake", func(t *testing.T, d *door, _ []byte) {
		d.secure().expectClosed()
		if e := d.refused(downstream.StageStartup, "startup_timeout"); e.TLS == nil {
			t.Errorf("got %+v", e)
		}
	})
	stall("half-close within ClientHello", func(_ *testing.T, d *door, hello []byte) {
		p := d.dial().send(hello[:100])
		_ = p.Conn.(*net.TCPConn).CloseWrite()
		p.expectClosed()
		d.refused(downstream.StageTLS, "tls")
	})
}

// A15: old versions and suites, and FALLBACK_SCSV, get the alert of their case.
func TestA15OldTLS(t *testing.T) {
	d := open(t, nil, nil)
	for _, tt := range []struct {
		name   string
		adjust func(*tls.Config)
		alert  uint8
	}{
		{"TLS 1.0", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, 70},
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }, 70},
		{"CBC", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, 40},
		{"3DES", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}
		}, 40},
		{"RC4", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}
		}, 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := d.clientTLS()
			tt.adjust(config)
			if _, err := d.dial().encrypt(config); !isAlert(err, tt.alert) {
				t.Errorf("got %v, want alert %d", err, tt.alert)
			}
			d.refused(downstream.StageTLS, "tls")
		})
	}
	t.Run("FALLBACK_SCSV", func(t *testing.T) {
		config := d.clientTLS()
		config.MaxVersion = tls.VersionTLS12
		config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
		hello := clientHello(t, config)
		// The second suite becomes 0x5600, RFC 7507; the length stays.
		second := []byte{0xc0, 0x30}
		if bytes.Count(hello, second) != 1 {
			t.Fatalf("no suite to replace in %x", hello)
		}
		hello = bytes.Replace(hello, second, []byte{0x56, 0x00}, 1)
		p := d.dial().send(hello)
		p.expect("\x15\x03\x03\x00\x02\x02\x56") // fatal alert 86
		d.refused(downstream.StageTLS, "tls")
	})
}
