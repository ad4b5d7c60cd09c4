package pki

import (
	"net/netip"
)

// TB is what Env needs of testing.TB; this package does not import testing, so that programs may use it.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	TempDir() string
}

// Env is the usual set for one test: three CAs that share nothing (T81) and a directory.
// Its methods fail the test instead of returning errors.
type Env struct {
	Clients *CA // issues client certificates; a root
	Servers *CA // issues the broker's and PostgreSQL's server certificates; a root
	Broker  *CA // issues the broker's own certificate at upstream; a root
	Dir     string

	tb TB
}

// New makes the three CAs and a temporary directory.
func New(tb TB) *Env {
	tb.Helper()
	env := &Env{Dir: tb.TempDir(), tb: tb}
	env.Clients = env.Root(Shape{CN: "Test Clients CA"})
	env.Servers = env.Root(Shape{CN: "Test Servers CA"})
	env.Broker = env.Root(Shape{CN: "Test Broker CA"})
	return env
}

// Root makes a root.
func (e *Env) Root(s Shape) *CA {
	e.tb.Helper()
	ca, err := NewRoot(s)
	return check(e, ca, err)
}

// Intermediate makes a CA below another.
func (e *Env) Intermediate(ca *CA, s Shape) *CA {
	e.tb.Helper()
	sub, err := ca.Intermediate(s)
	return check(e, sub, err)
}

// Issue makes a certificate of any shape below ca.
func (e *Env) Issue(ca *CA, s Shape) *Leaf {
	e.tb.Helper()
	leaf, err := ca.Issue(s)
	return check(e, leaf, err)
}

// Server makes a server certificate for localhost, 127.0.0.1, ::1 and any further DNS names.
func (e *Env) Server(names ...string) *Leaf {
	e.tb.Helper()
	return e.Issue(e.Servers, ServerShape(names...))
}

// Client makes a client certificate with that CN below Clients.
func (e *Env) Client(cn string) *Leaf {
	e.tb.Helper()
	return e.Issue(e.Clients, Shape{CN: cn})
}

// WriteLeaf stores NAME.crt and NAME.key in Dir and returns their paths.
func (e *Env) WriteLeaf(l *Leaf, name string) (certFile, keyFile string) {
	e.tb.Helper()
	certFile, keyFile, err := l.Write(e.Dir, name)
	check(e, 0, err)
	return certFile, keyFile
}

// WriteCA stores the CA's certificate as NAME.crt in Dir and returns its path.
func (e *Env) WriteCA(ca *CA, name string) string {
	e.tb.Helper()
	path, err := ca.WriteCA(e.Dir, name)
	return check(e, path, err)
}

func check[T any](e *Env, v T, err error) T {
	e.tb.Helper()
	if err != nil {
		e.tb.Fatalf("testenv/pki: %v", err)
	}
	return v
}

// ServerShape is a server certificate for localhost, 127.0.0.1, ::1 and any further DNS names.
func ServerShape(names ...string) Shape {
	return Shape{
		CN:         "localhost",
		DNS:        append([]string{"localhost"}, names...),
		IP:         []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()},
		ServerAuth: true,
	}
}
