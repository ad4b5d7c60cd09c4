package sink

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/poll"
)

// rsyslog is Debian's syslog server, which writes what it gets to a file.
type rsyslog struct {
	t       testing.TB
	binary  string
	dir     string
	address string // of a Syslog
	up      func() bool
	cmd     *exec.Cmd
}

// newRsyslog configures a server with one input, without starting it; the test is skipped where there is none.
func newRsyslog(t testing.TB, global, input, address string, dir string) *rsyslog {
	t.Helper()
	r := &rsyslog{t: t, binary: rsyslogd(t), dir: dir, address: address}
	config := `global(workDirectory="` + dir + `" maxMessageSize="512k" ` + global + `)
` + input + `
template(name="line" type="string" string="%pri% %timestamp:::date-rfc3339% %hostname% %app-name% %msgid% %structured-data% %msg%\n")
action(type="omfile" file="` + r.file() + `" template="line" asyncWriting="off" flushOnTXEnd="on")
`
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stop(syscall.SIGKILL) })
	return r
}

func rsyslogd(t testing.TB) string {
	for _, name := range []string{"rsyslogd", "/usr/sbin/rsyslogd"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("rsyslogd is not installed: apt-get install rsyslog rsyslog-openssl")
	return ""
}

// file is where the server writes.
func (r *rsyslog) file() string { return filepath.Join(r.dir, "out") }

func (r *rsyslog) start() {
	r.t.Helper()
	log, err := os.Create(filepath.Join(r.dir, "rsyslogd.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.cmd = exec.Command(r.binary, "-n", "-f", filepath.Join(r.dir, "conf"), "-i", filepath.Join(r.dir, "pid"))
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	defer func() {
		if said, _ := os.ReadFile(log.Name()); r.t.Failed() {
			r.t.Logf("rsyslogd:\n%s", said)
		}
	}()
	poll.Until(r.t, "rsyslogd to listen", r.up)
}

func (r *rsyslog) stop(sig syscall.Signal) {
	if r.cmd != nil {
		r.cmd.Process.Signal(sig)
		r.cmd.Wait()
	}
	r.cmd = nil
}

// got is what the server has written: lines of the record by seq, and their order without what came again.
func (r *rsyslog) got() (lines map[int64]string, order []int64) {
	text, _ := os.ReadFile(r.file())
	lines = map[int64]string{}
	for l := range strings.Lines(string(text)) {
		m := rsysLine.FindStringSubmatch(l)
		if m == nil {
			continue // half of one, as yet
		}
		seq, _ := strconv.ParseInt(m[1], 10, 64)
		if _, again := lines[seq]; !again {
			order = append(order, seq)
		}
		lines[seq] = m[2]
	}
	return lines, order
}

// rsysLine is a line of its file: every field of the header has arrived where it belongs.
var rsysLine = regexp.MustCompile(`^1(?:10|08) \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\S* gw1 pgsignet [a-z.]+ \[pgsignet@32473 stream="gw1-[^"]+" seq="(\d+)"\] ?(\{.*\})\n$`)

// rsyslogUnix takes packets on a unix socket.
func rsyslogUnix(t testing.TB) *rsyslog {
	dir, err := os.MkdirTemp("", "pgs") // a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "log")
	r := newRsyslog(t, "", `module(load="imuxsock" sysSock.use="off")
input(type="imuxsock" socket="`+path+`" useSpecialParser="off" parseHostname="on" rateLimit.interval="0")`, "unix://"+path, dir)
	r.up = func() bool {
		conn, err := net.Dial("unixgram", path)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	return r
}

// rsyslogTLS takes connections over TLS from clients with a certificate for the name broker.
func rsyslogTLS(t testing.TB, env *pki.Env) *rsyslog {
	rsyslogd(t)
	drivers, _ := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_*.so")
	i := slices.IndexFunc(drivers, func(d string) bool { return strings.HasSuffix(d, "_ossl.so") || strings.HasSuffix(d, "_gtls.so") })
	if i < 0 {
		t.Skip("rsyslog's TLS is not installed: apt-get install rsyslog-openssl")
	}
	driver := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(drivers[i]), "lmnsd_"), ".so")
	dir := t.TempDir()
	address := freeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	shape := pki.ServerShape()
	shape.IP = []netip.Addr{netip.MustParseAddr(host)}
	cert, key := env.WriteLeaf(env.Issue(env.Servers, shape), "logs")
	r := newRsyslog(t, `defaultNetstreamDriver="`+driver+`" defaultNetstreamDriverCAFile="`+env.WriteCA(env.Clients, "clients-ca")+`"
defaultNetstreamDriverCertFile="`+cert+`" defaultNetstreamDriverKeyFile="`+key+`"`, `
module(load="imtcp" streamDriver.name="`+driver+`" streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer=["broker"])
input(type="imtcp" address="`+host+`" port="`+port+`")`, "tls://"+address, dir)
	r.up = func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	return r
}

// freeAddress is one to listen on, now and again: of a loopback network that nobody is given ports of.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.77.%d.%d:0", os.Getpid()>>8&0xff, max(1, os.Getpid()&0xff)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A real syslog server has every line, byte for byte and in order, over a unix socket and over TLS with a client
// certificate, although it is stopped and started and was away in between; and a sink that comes behind goes on
// from the cursor.
func TestRsyslog(t *testing.T) {
	env := pki.New(t)
	for _, tt := range []struct {
		name   string
		server func(t testing.TB) *rsyslog
	}{
		{"unix socket", rsyslogUnix},
		{"TLS with a client certificate", func(t testing.TB) *rsyslog { return rsyslogTLS(t, env) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.server(t)
			cfg := SyslogConfig{Address: r.address}
			if strings.HasPrefix(r.address, "tls:") {
				cfg.CAFile = env.WriteCA(env.Servers, "logs-ca")
				cfg.CertFile, cfg.KeyFile = env.WriteLeaf(env.Client("broker"), "broker")
			}
			r.start()
			l, dir := openLog(t, audit.Config{})
			s := r.sink(t, dir, l, cfg)
			stop := start(t, s)
			defer stop()
			n := 0
			record := func(count int) {
				t.Helper()
				for range count {
					if err := l.Append(statement(n)); err != nil {
						t.Fatal(err)
					}
					n++
				}
				if err := l.AppendDurable(t.Context(), awkward(n)); err != nil {
					t.Fatal(err)
				}
				n++
			}
			record(200)
			poll.Until(t, "some lines", func() bool { lines, _ := r.got(); return len(lines) > 50 })
			before := s.Stats().Failures
			r.stop(syscall.SIGTERM)
			record(100)
			poll.Until(t, "the sink to notice", func() bool { return s.Stats().Failures > before })
			r.start()
			record(100)
			r.has(t, written(t, dir))
			stop()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			poll.Until(t, "the rest to be delivered", func() bool { return r.sink(t, dir, nil, cfg).Once(t.Context()) == nil })
			r.has(t, written(t, dir)) // the last checkpoint, too
			last := r.sink(t, dir, nil, cfg)
			if err := last.Once(t.Context()); err != nil || last.Stats().Delivered != 0 {
				t.Errorf("from the cursor: %d lines again, %v", last.Stats().Delivered, err)
			}
		})
	}
}

// awkward is a record that syslog could stumble over: of what ends a message or a field, and long.
func awkward(i int) *audit.Record {
	r := statement(i)
	r.Stmt.Text = "select '" + "\n\r\t\x00\u2028]\"\\ <13>1 - é\xff" + strings.Repeat("x", 10<<10) + "'"
	return r
}

// sink copies dir to the server. What was sent within a minute of a broken connection is sent again: longer than
// the server can be held up by a busy machine.
func (r *rsyslog) sink(t testing.TB, dir string, l *audit.Log, cfg SyslogConfig) *Sink {
	t.Helper()
	dst, err := NewSyslog(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Directory: dir, Name: "rsyslog", Log: l, Settle: time.Minute, Every: 10 * time.Millisecond, Retry: time.Second}, dst)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// has waits until the server has the lines, and compares.
func (r *rsyslog) has(t testing.TB, want []string) {
	t.Helper()
	var lines map[int64]string
	var order []int64
	poll.Until(t, "every line", func() bool { lines, order = r.got(); return len(lines) >= len(want) })
	if !slices.IsSorted(order) {
		t.Errorf("the lines came out of order: %v", order)
	}
	for i, line := range want {
		if lines[int64(i+1)] != line {
			t.Fatalf("seq %d: got %.200q, want %.200q", i+1, lines[int64(i+1)], line)
		}
	}
}

// A server that wants another certificate gets nothing, and nothing counts as delivered: in TLS 1.3 it says so only
// when we believe to be connected.
func TestRsyslogRefusesOurCertificate(t *testing.T) {
	env := pki.New(t)
	r := rsyslogTLS(t, env)
	r.start()
	l, dir := openLog(t, audit.Config{})
	if err := l.AppendDurable(t.Context(), statement(1)); err != nil {
		t.Fatal(err)
	}
	stranger := SyslogConfig{Address: r.address, CAFile: env.WriteCA(env.Servers, "logs-ca")}
	for _, name := range []string{"", "somebody"} {
		if name != "" {
			stranger.CertFile, stranger.KeyFile = env.WriteLeaf(env.Client(name), name)
		}
		if err := r.sink(t, dir, l, stranger).Once(t.Context()); err == nil {
			t.Errorf("with the certificate %q: no error", name)
		}
	}
	known := stranger
	known.CertFile, known.KeyFile = env.WriteLeaf(env.Client("broker"), "broker")
	poll.Until(t, "delivery with the right one", func() bool { return r.sink(t, dir, l, known).Once(t.Context()) == nil })
	r.has(t, written(t, dir))
}
