package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// trouble makes one alert fire and returns what ends its cause.
type trouble struct {
	alert  string
	labels map[string]string // beside those of the scrape, as far as the test looks
	begin  func(t *testing.T) (end func())
}

// Every alert of deploy/prometheus/alerts.yml fires for its true cause in a real Prometheus that reads
// real brokers, and stops when the cause is gone. The copy that is loaded looks back for seconds and
// waits for nothing; the rest is as it is delivered.
func TestAlertsFireForTheirCauses(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("did not run: no prometheus here (Debian: prometheus)")
	}
	t.Parallel()
	w := Shared(t)
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	p := startPrometheus(t, rules)
	troubles := p.troubles(t, w)
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllSubmatch(rules, -1) {
		if !hasTrouble(troubles, string(m[1])) {
			t.Errorf("nothing makes %s fire", m[1])
		}
	}
	for _, tr := range troubles {
		Poll(t, tr.alert+" to keep quiet", func() bool { return p.firing(t, tr) == "" })
	}
	var ends []func()
	for _, tr := range troubles {
		ends = append(ends, tr.begin(t))
	}
	p.wantAll(t, troubles)
	for _, end := range ends {
		end()
	}
	for _, tr := range troubles {
		Poll(t, fmt.Sprint(tr.alert, tr.labels, " to stop"), func() bool { return p.firing(t, tr) == "" })
	}
}

// wantAll waits until each alert has fired: what looks at the last seconds only may be over when another fires.
func (p *prometheus) wantAll(t *testing.T, troubles []trouble) {
	t.Helper()
	fired := make([]bool, len(troubles))
	defer func() {
		for i, tr := range troubles {
			if !fired[i] {
				t.Errorf("%s %v has not fired", tr.alert, tr.labels)
			}
		}
	}()
	Poll(t, "every alert to fire", func() bool {
		all := true
		for i, tr := range troubles {
			if text := p.firing(t, tr); text != "" && !fired[i] {
				fired[i] = true
				t.Log(text)
			}
			all = all && fired[i]
		}
		return all
	})
}

func hasTrouble(troubles []trouble, alert string) bool {
	for _, tr := range troubles {
		if tr.alert == alert {
			return true
		}
	}
	return false
}

// troubles starts the brokers that each trouble is of.
func (p *prometheus) troubles(t *testing.T, w *World) []trouble {
	syslog := newCollector(t)
	strict := newTroubled(t, w, Options{Rules: people, Audit: `delivery = "strict"`, Admin: httpOn}, true)
	lost := newTroubled(t, w, Options{Rules: people, Admin: httpOn}, true)
	certs := newTroubled(t, w, Options{
		Rules: people, Admin: httpOn, Pool: transactions(1, `wait_timeout = "5m"`),
		Listener: `crl = ["crls"]`, Audit: `sink "syslog" { address = "tcp://` + syslog.address + `" }`,
		Files: map[string]string{"crls/clients.crl": string(CRL(t, w.Clients, pki.CRLShape{NextUpdate: time.Now().Add(time.Hour)}))},
	}, false)
	lonely := newTroubled(t, w, Options{Rules: people, Admin: httpOn, Host: freeAddress(t), Listener: "half_open = 3"}, false)
	down := newTroubled(t, w, Options{Rules: people, Admin: httpOn}, false)
	p.brokers = map[string]string{
		"strict": strict.admin(), "lost": lost.admin(), "certs": certs.admin(), "lonely": lonely.admin(), "down": down.admin(),
	}
	p.scrape(t)
	of := func(instance string, more ...string) map[string]string {
		labels := map[string]string{"instance": instance}
		for i := 0; i < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		return labels
	}
	return []trouble{
		{"PgsignetAuditFailing", of("strict"), strict.fullDisk},
		{"PgsignetNotReady", of("strict"), nothing},
		{"PgsignetAuditLost", of("lost"), lost.loses},
		{"PgsignetCertificateExpires", of("lonely", "listener", "main", "kind", "server"), lonely.listenerEnds(time.Hour)},
		{"PgsignetCertificateExpired", of("certs", "listener", "main", "kind", "server"), certs.listenerEnds(2 * time.Second)},
		{"PgsignetNotReady", of("certs"), nothing},
		{"PgsignetUpstreamCertificateExpires", of("lonely", "upstream", "pg"), lonely.upstreamEnds(time.Hour)},
		{"PgsignetUpstreamCertificateExpired", of("certs", "upstream", "pg"), certs.upstreamEnds(2 * time.Second)},
		{"PgsignetCRLStale", of("certs", "listener", "main"), certs.staleCRL},
		{"PgsignetReloadFailed", of("lost"), lost.brokenFile},
		{"PgsignetSinkFails", of("certs", "sink", "syslog"), syslog.breaks},
		{"PgsignetRefusals", of("lost", "reason", "user_not_granted"), lost.asks("bob")},
		{"PgsignetClientsWait", of("certs", "database", "orders"), certs.waits},
		{"PgsignetUpstreamFails", of("lonely", "upstream", "pg"), lonely.asks("alice")},
		{"PgsignetDoorClosed", of("lonely", "listener", "main"), lonely.crowds},
		{"PgsignetDown", of("down"), p.stops(down)},
	}
}

// nothing is the beginning of an alert that another one's cause brings, too.
func nothing(*testing.T) func() { return func() {} }

// troubled is a broker that something is to happen to.
type troubled struct {
	*Broker
	w *World
}

func newTroubled(t *testing.T, w *World, o Options, small bool) *troubled {
	t.Helper()
	path := w.WriteConfig(t, o)
	if small {
		mountSmall(t, filepath.Join(filepath.Dir(path), "audit"))
	}
	return &troubled{w.StartConfig(t, path), w}
}

func (b *troubled) admin() string { return strings.TrimPrefix(b.AdminURL(), "http://") }

func (b *troubled) write(name string, content []byte) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.Dir, name), content, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// replace puts a certificate and its key where another was.
func (b *troubled) replace(t *testing.T, name string, ca *pki.CA, s pki.Shape) {
	t.Helper()
	leaf := b.w.issue(t, ca, s)
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	b.write(name+".crt", leaf.PEM())
	b.write(name+".key", key)
}

func (b *troubled) fullDisk(t *testing.T) func() {
	dir := filepath.Join(b.Dir, "audit")
	fillDisk(t, dir)
	leaf := b.w.Client("alice")
	Poll(t, "the disk to be full", func() bool {
		c, err := b.TryConnect(leaf, "alice", "orders")
		if err == nil {
			c.Close(context.Background())
		}
		return err != nil
	})
	return func() {
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Error(err)
		}
	}
}

// loses fills the disk, then the queue: 8192 records.
func (b *troubled) loses(t *testing.T) func() {
	fillDisk(t, filepath.Join(b.Dir, "audit"))
	c := b.Connect(t, b.w.Client("alice"), "alice", "orders")
	Poll(t, "a record to be dropped", func() bool {
		var batch pgx.Batch
		for range 2000 {
			batch.Queue("select '" + strings.Repeat("x", 1000) + "'")
		}
		if err := c.SendBatch(context.Background(), &batch).Close(); err != nil {
			t.Fatal(err)
		}
		return b.metrics(t)["pgsignet_audit_lost_total"] != "0"
	})
	return func() {
		if err := os.Remove(filepath.Join(b.Dir, "audit", "filler")); err != nil {
			t.Error(err)
		}
	}
}

func (b *troubled) listenerEnds(after time.Duration) func(t *testing.T) func() {
	return b.ends("server", b.w.Servers, pki.Shape{CN: "localhost", DNS: []string{"localhost"}, ServerAuth: true}, after)
}

func (b *troubled) upstreamEnds(after time.Duration) func(t *testing.T) func() {
	return b.ends("broker", b.w.Env.Broker, pki.Shape{CN: "broker"}, after)
}

// ends puts in a certificate that ends after a while, and later one that lasts.
func (b *troubled) ends(name string, ca *pki.CA, s pki.Shape, after time.Duration) func(t *testing.T) func() {
	return func(t *testing.T) func() {
		s.NotBefore, s.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(after)
		b.replace(t, name, ca, s)
		return func() {
			s.NotAfter = time.Now().Add(90 * 24 * time.Hour)
			b.replace(t, name, ca, s)
		}
	}
}

func (b *troubled) staleCRL(t *testing.T) func() {
	now := time.Now()
	b.write("crls/clients.crl", CRL(t, b.w.Clients, pki.CRLShape{ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(-time.Hour)}))
	return func() { b.write("crls/clients.crl", CRL(t, b.w.Clients, pki.CRLShape{NextUpdate: now.Add(time.Hour)})) }
}

func (b *troubled) brokenFile(t *testing.T) func() {
	good, err := os.ReadFile(filepath.Join(b.Dir, "pgsignet.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	b.write("pgsignet.hcl", append(bytes.Clone(good), "nonsense {"...))
	b.Signal(1)
	return func() {
		b.write("pgsignet.hcl", good)
		b.Signal(1)
	}
}

// collector takes what a sink sends, at times.
type collector struct {
	address string
	socket  net.Listener
	open    sync.WaitGroup
	mu      sync.Mutex // guards conns
	conns   []net.Conn
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{address: "127.0.0.1:0"}
	c.listen(t)
	c.address = c.socket.Addr().String()
	t.Cleanup(c.close)
	return c
}

func (c *collector) listen(t *testing.T) {
	t.Helper()
	var err error
	Poll(t, "the collector's port to be free", func() bool {
		c.socket, err = net.Listen("tcp", c.address)
		return err == nil
	})
	c.open.Go(func() { // until close
		for {
			conn, err := c.socket.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			c.open.Go(func() { io.Copy(io.Discard, conn) })
		}
	})
}

func (c *collector) close() {
	c.socket.Close()
	c.mu.Lock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
	c.mu.Unlock()
	c.open.Wait()
}

// breaks is gone for a while.
func (c *collector) breaks(t *testing.T) func() {
	c.close()
	return func() { c.listen(t) }
}

// asks has somebody ask for a user again and again, until the function it returns is called.
func (b *troubled) asks(user string) func(t *testing.T) func() {
	return func(t *testing.T) func() {
		leaf, asking := b.w.Client("alice"), &beside{stop: make(chan struct{})}
		asking.done.Go(func() {
			for {
				select {
				case <-asking.stop:
					return
				case <-time.After(100 * time.Millisecond):
					b.TryConnect(leaf, user, "orders")
				}
			}
		})
		t.Cleanup(asking.end)
		return asking.end
	}
}

// waits has a client hold the only server connection while another wants one.
func (b *troubled) waits(t *testing.T) func() {
	ctx := context.Background()
	leaf := b.w.Client("app")
	holder, waiter := b.Connect(t, leaf, "app", "orders"), b.Connect(t, leaf, "app", "orders")
	if _, err := holder.Exec(ctx, "begin"); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := waiter.Exec(ctx, "select 1")
		waited <- err
	}()
	return func() {
		if _, err := holder.Exec(ctx, "commit"); err != nil {
			t.Error(err)
		}
		if err := <-waited; err != nil {
			t.Errorf("the client that had to wait: %v", err)
		}
	}
}

// crowds opens more connections than may be half open, and one more each time that it is asked for.
func (b *troubled) crowds(t *testing.T) func() {
	var open []net.Conn
	for range 4 {
		open = append(open, b.Dial(t))
	}
	return func() {
		for _, c := range open {
			c.Close()
		}
	}
}

// stops ends the process, and later starts another in its place.
func (p *prometheus) stops(b *troubled) func(t *testing.T) func() {
	return func(t *testing.T) func() {
		b.Signal(15)
		b.Wait(StopLimit)
		return func() {
			p.brokers["down"] = newTroubled(t, b.w, Options{Rules: people, Admin: httpOn}, false).admin()
			p.scrape(t)
		}
	}
}
