package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pgserver"
	"github.com/pgsignet/pgsignet/testenv/pki"
)

// load is pgbench, run again and again until it is told to stop.
type load struct {
	beside

	mu        sync.Mutex
	processed int
	faults    []string
}

var failedTransactions = regexp.MustCompile(`number of failed transactions: (\d+)`)

// bench begins runs of two seconds each with that certificate; more are further arguments.
func (b *Broker) bench(t *testing.T, leaf *pki.Leaf, root string, more ...string) *load {
	t.Helper()
	l := &load{beside: beside{stop: make(chan struct{})}}
	cert, key := b.WriteCert(leaf)
	script := filepath.Join(filepath.Dir(cert), "write.sql")
	if err := os.WriteFile(script, []byte("BEGIN;\nINSERT INTO rotation VALUES (:client_id);\nSELECT 1;\nEND;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-n", "-f", script, "-T", "2", "-c", "3", "-j", "3"}, more...)
	path := b.pgbenchPath(t)
	l.done.Go(func() {
		for {
			cmd := exec.Command(path, append(args, "orders")...)
			cmd.Env = append(os.Environ(), "PGHOST=localhost", "PGHOSTADDR=127.0.0.1", "PGPORT="+b.Port(), "PGUSER=app_rw",
				"PGSSLMODE=verify-full", "PGSSLROOTCERT="+root, "PGSSLCERT="+cert, "PGSSLKEY="+key, "LC_ALL=C")
			out, err := cmd.CombinedOutput()
			l.note(string(out), err)
			select {
			case <-l.stop:
				return
			default:
			}
		}
	})
	t.Cleanup(l.end)
	return l
}

func (l *load) note(out string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := processed.FindStringSubmatch(out); m != nil {
		n, _ := strconv.Atoi(m[1])
		l.processed += n
	}
	if m := failedTransactions.FindStringSubmatch(out); err != nil || m == nil || m[1] != "0" {
		l.faults = append(l.faults, fmt.Sprintf("%v\n%s", err, out))
	}
}

// beside is work that goes on beside a test.
type beside struct {
	stop chan struct{} // closed by end
	once sync.Once
	done sync.WaitGroup
}

// end stops the work and waits for it; it may be called again.
func (b *beside) end() {
	b.once.Do(func() { close(b.stop) })
	b.done.Wait()
}

// finish ends the load, in which no transaction may have failed, and returns how many there were.
func (l *load) finish(t *testing.T) int {
	t.Helper()
	l.end()
	for _, fault := range l.faults {
		t.Errorf("pgbench: %s", fault)
	}
	if l.processed == 0 {
		t.Error("pgbench did nothing")
	}
	return l.processed
}

// seen waits until every server connection of the broker's shows a certificate with that value in a
// column of pg_stat_ssl, and there is one.
func (d *documented) seen(t *testing.T, what, column, want string) {
	t.Helper()
	Poll(t, what, func() bool {
		all, err := d.QueryString(context.Background(), "SELECT coalesce(bool_and("+column+"::text = $1), false)::text "+
			"FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app_rw' AND ssl", want)
		return err == nil && all == "true"
	})
}

func (d *documented) setTLS(t *testing.T, tls pgserver.TLS) {
	t.Helper()
	if err := d.SetTLS(context.Background(), tls); err != nil {
		t.Fatal(err)
	}
}

// serverPair is a server certificate of a CA, as PEM text.
func serverPair(t *testing.T, w *World, ca *pki.CA) pgserver.TLS {
	t.Helper()
	leaf := w.issue(t, ca, pki.ServerShape())
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return pgserver.TLS{Cert: string(leaf.PEM()), Key: string(key)}
}

// renewed waits until the broker has put the n-th change of the upstream's files in force.
func (b *Broker) renewed(t *testing.T, n int) {
	t.Helper()
	Poll(t, fmt.Sprintf("change %d of the upstream's files", n), func() bool { return b.Count("upstream certificates renewed") >= n })
}

// Count is how many log lines have that message.
func (b *Broker) Count(message string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if l["msg"] == message {
			n++
		}
	}
	return n
}

// TestRotationUnderLoad replaces every certificate and CA on the way, one after the other, while
// pgbench works through long connections and through one for each transaction (T77, T80).
func TestRotationUnderLoad(t *testing.T) {
	for version, pool := range map[int]string{15: `size = 12
max_lifetime = "1s"`, 18: transactions(4, `max_lifetime = "1s"`)} {
		t.Run(fmt.Sprint("PostgreSQL ", version), func(t *testing.T) {
			w := Shared(t)
			d := w.startDocumented(t, version, nil)
			w.execOn(t, d, "CREATE TABLE rotation (client int); GRANT ALL ON rotation TO app_rw")
			t.Run("certificate", func(t *testing.T) { d.rotateCertificate(t, pool) })
			t.Run("issuer", func(t *testing.T) { d.rotateIssuer(t, pool) })
		})
	}
}

func (d *documented) rotateCertificate(t *testing.T, pool string) {
	w := d.w
	b := w.Start(t, d.options(t, "certificate", pool))
	defer func() {
		back := serverPair(t, w, w.Servers)
		back.CA = string(w.Env.Broker.CertPEM()) + string(d.roles.CertPEM())
		d.setTLS(t, back)
	}()
	root := w.WriteCA(w.Servers, "root-of-broker")
	steady := b.bench(t, w.Client("app_rw"), root)
	hasty := b.bench(t, w.Client("app_rw"), root, "-C")
	Poll(t, "the first sessions", func() bool { return len(b.generations()) > 0 })

	// PostgreSQL's own certificate, and then the CA that vouches for it, with a time of both.
	d.setTLS(t, serverPair(t, w, w.Servers))
	servers := w.Root(pki.Shape{CN: "New Servers CA"})
	b.WriteFile(t, "servers-ca.crt", append(w.Servers.CertPEM(), servers.CertPEM()...))
	b.renewed(t, 1)
	d.setTLS(t, serverPair(t, w, servers))
	b.WriteFile(t, "servers-ca.crt", servers.CertPEM())
	b.renewed(t, 2)

	// The broker's certificate, and with it the CA that PostgreSQL knows it by.
	brokers := w.Root(pki.Shape{CN: "New Broker CA"})
	d.setTLS(t, pgserver.TLS{CA: string(w.Env.Broker.CertPEM()) + string(brokers.CertPEM()) + string(d.roles.CertPEM())})
	b.replacePair(t, "broker", w.issue(t, brokers, pki.Shape{CN: "broker"}))
	d.seen(t, "the new certificate on every connection", "issuer_dn", "/CN=New Broker CA")
	d.setTLS(t, pgserver.TLS{CA: string(brokers.CertPEM()) + string(d.roles.CertPEM())})

	// The listener's certificate.
	next := w.Server("localhost")
	b.replacePair(t, "server", next)
	Poll(t, "the new certificate to be served", func() bool {
		c := b.DialTLS(t, nil)
		defer c.Close()
		return c.ServerCertificate().Equal(next.X509)
	})

	// The CA of the clients: old ones and new ones at once, then the new ones alone.
	trusting := func(cfg *pgx.ConnConfig) { cfg.TLSConfig.RootCAs = w.Servers.Pool() } // the broker's file has another CA now
	clients := w.Root(pki.Shape{CN: "New Clients CA"})
	leaf := w.issue(t, clients, pki.Shape{CN: "app_rw"})
	b.WriteFile(t, "clients-ca.crt", append(w.Clients.CertPEM(), clients.CertPEM()...))
	Poll(t, "clients of the new CA", func() bool {
		c, err := b.TryConnect(leaf, "app_rw", "orders", trusting)
		if err == nil {
			c.Close(context.Background())
		}
		return err == nil
	})
	fresh := b.bench(t, leaf, root)
	n := steady.finish(t) + hasty.finish(t)
	b.WriteFile(t, "clients-ca.crt", clients.CertPEM())
	Poll(t, "the old CA to be no good", func() bool {
		c, err := b.TryConnect(w.Client("app_rw"), "app_rw", "orders", trusting)
		if err == nil {
			c.Close(context.Background())
		}
		return SQLState(err) == "28000"
	})
	t.Logf("%d transactions, none failed", n+fresh.finish(t))

	// The record tells the connections apart.
	generations := b.generations()
	first, last := generations[0], generations[len(generations)-1]
	if want := fmt.Sprint(b.Count("upstream certificates renewed") + 1); first != "1" || last != want {
		t.Errorf("upstream.generation is %s at first and %s at last, want 1 and %s", first, last, want)
	}
}

// generations are those that the logins were recorded with. In transaction mode a session may begin without
// a server connection: it has none.
func (b *Broker) generations() (list []string) {
	for _, o := range b.readRecords("session.open") {
		if g := dig(o, "upstream.generation"); g != nil {
			list = append(list, fmt.Sprint(g))
		}
	}
	return list
}

func (d *documented) rotateIssuer(t *testing.T, pool string) {
	w := d.w
	d.setHBA(t, pageLines(t, "hba issuer")...)
	o := d.options(t, "issuer", pool)
	o.Login = issuerLogin("5s")
	o.Audit = `delivery = "strict"`
	b := w.Start(t, o)
	root := w.WriteCA(w.Servers, "root-of-broker")
	began := time.Now()
	steady := b.bench(t, w.Client("app_rw"), root)
	hasty := b.bench(t, w.Client("app_rw"), root, "-C")
	b.Records("mint", 1)
	roles := w.Root(pki.Shape{CN: "New Roles CA"})
	d.setTLS(t, pgserver.TLS{CA: string(roles.CertPEM()) + string(d.roles.CertPEM())})
	b.replacePair(t, "roles-ca", &roles.Leaf)
	d.seen(t, "certificates of the new CA on every connection", "issuer_dn", "/CN=New Roles CA")
	d.setTLS(t, pgserver.TLS{CA: string(roles.CertPEM())})
	mints := b.Records("mint", 4) // 5 s each, renewed at two thirds
	if lived := time.Since(began); lived < 5*time.Second {
		t.Errorf("4 mints within %v", lived)
	}
	t.Logf("%d transactions, none failed; %d mints within %v", steady.finish(t)+hasty.finish(t), len(mints), time.Since(began).Round(time.Second))
}
