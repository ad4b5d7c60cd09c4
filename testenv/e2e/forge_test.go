package e2e

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"testing"
)

// Record and handshake types of TLS.
const (
	alertRecord, handshakeRecord, dataRecord = 21, 22, 23
	keyUpdateMessage                         = "\x18\x00\x00\x01\x00" // update_not_requested
	userCanceled                             = "\x01\x5a"             // at level warning
)

// forger is a TLS client that can send records which crypto/tls would not: it stands between a
// tls.Conn and the socket, and makes records with the secrets that the tls.Conn logs. Only
// AES-128-GCM with SHA-256 is spoken.
type forger struct {
	net.Conn // the socket
	t        testing.TB
	tls      *tls.Conn

	sent, got []byte            // what passed, up to the hellos' randoms
	secrets   map[string][]byte // as logged, by label
	// second, if not nil, makes what goes before the client's second flight.
	second func() []byte
}

// forge asks for TLS of that version and returns before the handshake.
func (b *Broker) forge(t testing.TB, cfg *tls.Config, version uint16) *forger {
	t.Helper()
	f := &forger{Conn: b.Dial(t).answered(sslRequest, 'S').Conn, t: t, secrets: map[string][]byte{}}
	cfg.MinVersion, cfg.MaxVersion, cfg.KeyLogWriter = version, version, (*keyLog)(f)
	cfg.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	f.tls = tls.Client(f, cfg)
	return f
}

// keyLog takes the lines that crypto/tls writes of its secrets.
type keyLog forger

func (f *keyLog) Write(line []byte) (int, error) {
	words := strings.Fields(string(line))
	secret, err := hex.DecodeString(words[2])
	f.secrets[words[0]] = secret
	return len(line), err
}

func (f *forger) Write(b []byte) (int, error) {
	if f.second != nil && f.secrets["CLIENT_HANDSHAKE_TRAFFIC_SECRET"] != nil {
		first := f.second()
		f.second = nil
		if _, err := f.Conn.Write(first); err != nil {
			return 0, err
		}
	}
	if len(f.sent) < 1<<10 {
		f.sent = append(f.sent, b...)
	}
	return f.Conn.Write(b)
}

func (f *forger) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if len(f.got) < 1<<10 {
		f.got = append(f.got, b[:n]...)
	}
	return n, err
}

// handshake completes the handshake.
func (f *forger) handshake() {
	f.t.Helper()
	if err := f.tls.Handshake(); err != nil {
		f.t.Fatal(err)
	}
	if s := f.tls.ConnectionState().CipherSuite; s != tls.TLS_AES_128_GCM_SHA256 && s != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 {
		f.t.Skipf("%s was chosen, which is not forged here", tls.CipherSuiteName(s))
	}
}

// sealer encrypts records in one direction.
type sealer struct {
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
	secret   []byte // of TLS 1.3; nil: TLS 1.2
}

// ahead seals what follows on the records that crypto/tls has sent after the handshake.
func (f *forger) ahead() *sealer {
	if secret := f.secrets["CLIENT_TRAFFIC_SECRET_0"]; secret != nil {
		return sealing(f.t, secret)
	}
	seed := append(append([]byte("key expansion"), f.got[11:43]...), f.sent[11:43]...) // the randoms of both hellos
	keys := pHash(f.secrets["CLIENT_RANDOM"], seed, 40)
	return &sealer{aead: gcm(f.t, keys[:16]), iv: keys[32:36], sequence: 1} // Finished was record 0
}

// sealing is a sealer for a traffic secret of TLS 1.3 (RFC 8446, 7.3).
func sealing(t testing.TB, secret []byte) *sealer {
	return &sealer{aead: gcm(t, expandLabel(t, secret, "key", 16)), iv: expandLabel(t, secret, "iv", 12), secret: secret}
}

// updated is the sealer after a KeyUpdate.
func (s *sealer) updated(t testing.TB) *sealer {
	return sealing(t, expandLabel(t, s.secret, "traffic upd", 32))
}

// record seals one record.
func (s *sealer) record(typ byte, content string) []byte {
	sequence := binary.BigEndian.AppendUint64(nil, s.sequence)
	s.sequence++
	if s.secret != nil {
		nonce := bytes.Clone(s.iv)
		for i, b := range sequence {
			nonce[4+i] ^= b
		}
		inner := append([]byte(content), typ)
		header := binary.BigEndian.AppendUint16([]byte{dataRecord, 3, 3}, uint16(len(inner)+s.aead.Overhead()))
		return s.aead.Seal(header, nonce, inner, header)
	}
	extra := binary.BigEndian.AppendUint16(append(bytes.Clone(sequence), typ, 3, 3), uint16(len(content)))
	header := binary.BigEndian.AppendUint16([]byte{typ, 3, 3}, uint16(8+len(content)+s.aead.Overhead()))
	return s.aead.Seal(append(header, sequence...), append(bytes.Clone(s.iv), sequence...), []byte(content), extra)
}

func gcm(t testing.TB, key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, 7.1).
func expandLabel(t testing.TB, secret []byte, label string, length int) []byte {
	info := "\x00" + string(rune(length)) + string(rune(len("tls13 "+label))) + "tls13 " + label + "\x00"
	out, err := hkdf.Expand(sha256.New, secret, info, length)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pHash is TLS 1.2's P_SHA256 (RFC 5246, 5).
func pHash(secret, seed []byte, length int) []byte {
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(bytes.Join(parts, nil))
		return h.Sum(nil)
	}
	var out []byte
	for a := mac(seed); len(out) < length; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:length]
}
