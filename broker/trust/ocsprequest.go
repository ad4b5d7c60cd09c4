package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	ocspTimeout  = 2 * time.Second // for one certificate, all of its responders together (T60)
	maxOCSPURLs  = 2               // responders asked for one certificate
	ocspNonceLen = 32              // octets (RFC 9654)
)

// ocspRequest encodes an OCSPRequest for sub with that nonce. Its CertID is SHA-1, the one hash
// that every responder knows; it identifies and protects nothing.
func ocspRequest(sub *subject, nonce []byte) []byte {
	seq := func(b *cryptobyte.Builder, f cryptobyte.BuilderContinuation) { b.AddASN1(der.SEQUENCE, f) }
	var b cryptobyte.Builder
	seq(&b, func(b *cryptobyte.Builder) { // OCSPRequest
		seq(b, func(b *cryptobyte.Builder) { // TBSRequest
			seq(b, func(b *cryptobyte.Builder) { // requestList
				seq(b, func(b *cryptobyte.Builder) { // Request
					seq(b, func(b *cryptobyte.Builder) { addCertID(b, sub) })
				})
			})
			b.AddASN1(der.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				seq(b, func(b *cryptobyte.Builder) {
					seq(b, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidOCSPNonce)
						b.AddASN1(der.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
					})
				})
			})
		})
	})
	return b.BytesOrPanic()
}

func addCertID(b *cryptobyte.Builder, sub *subject) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSHA1)
		b.AddASN1NULL()
	})
	b.AddASN1OctetString(hashOf(crypto.SHA1, sub.issuer.RawSubject))
	b.AddASN1OctetString(hashOf(crypto.SHA1, keyBits(sub.issuer)))
	b.AddASN1BigInt(sub.cert.SerialNumber)
}

// newOCSPClient makes the client for responders: no proxy, no redirect, no link-local address, no
// connection kept (T60).
func newOCSPClient() *http.Client {
	dialer := &net.Dialer{Timeout: ocspTimeout, Control: refuseLinkLocal}
	return &http.Client{
		Timeout:       ocspTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// refuseLinkLocal runs on the resolved address: cloud metadata services live at link-local ones.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if a := ap.Addr().Unmap(); a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("OCSP responder at %s: address not allowed", a)
	}
	return nil
}

// fetchOCSP asks the responders that sub names, in order, until one gives a verified answer.
func fetchOCSP(ctx context.Context, client *http.Client, sub *subject, clock func() time.Time, revoked func(*subject) bool) (*ocspAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, ocspTimeout)
	defer cancel()
	var failures []error
	for _, u := range responders(sub) {
		nonce := make([]byte, ocspNonceLen)
		rand.Read(nonce)
		raw, err := post(ctx, client, u, ocspRequest(sub, nonce))
		if err == nil {
			var a *ocspAnswer
			if a, err = verifyOCSP(raw, sub, clock(), nonce, revoked); err == nil {
				return a, nil
			}
		}
		failures = append(failures, err)
	}
	if failures == nil {
		return nil, errNoResponder
	}
	return nil, errors.Join(failures...)
}

var errNoResponder = errors.New("certificate names no OCSP responder")

// responders are the http and https URLs of authorityInfoAccess.
func responders(sub *subject) []string {
	var out []string
	for _, raw := range sub.cert.OCSPServer {
		u, err := url.Parse(raw)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && len(out) < maxOCSPURLs {
			out = append(out, raw)
		}
	}
	return out
}

// firstResponder is the host that is asked first about sub; "" when there is none.
func firstResponder(sub *subject) string {
	for _, raw := range responders(sub) {
		if u, err := url.Parse(raw); err == nil {
			return u.Host
		}
	}
	return ""
}

func post(ctx context.Context, client *http.Client, responder string, request []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, responder, bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	req.Header.Set("Accept", "application/ocsp-response")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("OCSP responder answered with HTTP status %d", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxOCSP+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxOCSP {
		return nil, fmt.Errorf("OCSP response of more than %d bytes", maxOCSP)
	}
	return raw, nil
}
