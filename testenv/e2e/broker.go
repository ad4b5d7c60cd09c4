package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/pgsignet/pgsignet/testenv/pki"
)

// Options say how a broker's configuration differs from the plain one: one listener, one upstream,
// databases orders and stock.
type Options struct {
	Rules    string   // map, deny and test blocks
	Listener string   // further attributes of the listener
	Upstream string   // further attributes of the upstream
	Pool     string   // attributes of the pool block
	Database string   // further attributes of database orders
	Audit    string   // further attributes of the audit block
	Admin    string   // attributes of the admin block; default: no HTTP
	Top      string   // further top-level blocks
	Host     string   // of PostgreSQL, host:port; default: the shared server
	Hosts    []string // several of them, instead of Host
	Login    string   // the upstream's credential block; default: "certificate" with the broker's
	Drain    string   // shutdown.drain_timeout; default 5s
	Files    map[string]string
	Server   *pki.Leaf // the listener's certificate; default: one for localhost
	ClientCA *pki.CA   // default: World.Clients
}

// Broker is a running pgsignet process.
type Broker struct {
	World *World
	Dir   string // its configuration, certificates and audit
	Addr  string // host:port of listener "main"

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex
	lines []map[string]any
	raw   bytes.Buffer
	exit  error
}

const certificateLogin = `credential "certificate" {
    cert_file = "broker.crt"
    key_file  = "broker.key"
  }`

var configTemplate = template.Must(template.New("").Parse(`
node = "test"
listener "main" {
  address   = "127.0.0.1:0"
  cert_file = "server.crt"
  key_file  = "server.key"
  client_ca = ["clients-ca.crt"]
  {{.Listener}}
}
upstream "pg" {
  hosts   = [{{range .Hosts}}"{{.}}", {{end}}]
  ca_file = "servers-ca.crt"
  {{.Upstream}}
  {{.Login}}
  pool {
    {{.Pool}}
  }
}
database "orders" {
  upstream = "pg"
  {{.Database}}
}
database "stock" { upstream = "pg" }
{{.Rules}}
audit {
  directory = "audit"
  {{.Audit}}
}
admin {
  {{or .Admin "address = \"\""}}
}
log { level = "debug" }
shutdown {
  drain_timeout = "{{.Drain}}"
}
{{.Top}}
`))

// WriteConfig puts a configuration and the files it names into a new folder and returns the path of
// the configuration.
func (w *World) WriteConfig(t testing.TB, o Options) string {
	t.Helper()
	dir := t.TempDir()
	if o.Host == "" {
		o.Host = w.PG.Addr()
	}
	if o.Hosts == nil {
		o.Hosts = []string{o.Host}
	}
	if o.Login == "" {
		o.Login = certificateLogin
	}
	if o.Drain == "" {
		o.Drain = "5s"
	}
	later := time.Now().Add(90 * 24 * time.Hour) // beyond what check warns about
	if o.Server == nil {
		o.Server = w.issue(t, w.Servers, pki.Shape{CN: "localhost", DNS: []string{"localhost"}, ServerAuth: true, NotAfter: later})
	}
	if o.ClientCA == nil {
		o.ClientCA = w.Clients
	}
	broker := w.issue(t, w.Env.Broker, pki.Shape{CN: "broker", NotAfter: later})
	var text bytes.Buffer
	if err := configTemplate.Execute(&text, o); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"pgsignet.hcl": text.Bytes(), "clients-ca.crt": o.ClientCA.PEM(), "servers-ca.crt": w.Servers.PEM(),
	}
	for name, leaf := range map[string]*pki.Leaf{"server": o.Server, "broker": broker} {
		key, err := leaf.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		files[name+".crt"], files[name+".key"] = leaf.PEM(), key
	}
	for name, content := range o.Files {
		files[name] = []byte(content)
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "pgsignet.hcl")
}

// issue makes a certificate; a test that fails names itself.
func (w *World) issue(t testing.TB, ca *pki.CA, s pki.Shape) *pki.Leaf {
	t.Helper()
	leaf, err := ca.Issue(s)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// Start runs a broker until the test ends. The test fails when the broker does not come up, or
// does not stop when told.
func (w *World) Start(t testing.TB, o Options) *Broker {
	t.Helper()
	path := w.WriteConfig(t, o)
	return w.StartConfig(t, path)
}

// StartConfig runs a broker with a configuration that WriteConfig has made.
func (w *World) StartConfig(t testing.TB, path string, args ...string) *Broker {
	t.Helper()
	return w.StartCommand(t, path, exec.Command(w.binary, append([]string{"serve", "--config", path}, args...)...))
}

// StartCommand is StartConfig with a command line of the test's own.
func (w *World) StartCommand(t testing.TB, path string, cmd *exec.Cmd) *Broker {
	t.Helper()
	b := &Broker{World: w, Dir: filepath.Dir(path), t: t, done: make(chan struct{}), cmd: cmd}
	stderr, err := b.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go b.follow(bufio.NewReader(stderr))
	t.Cleanup(b.cleanup)
	Poll(t, "broker to listen", func() bool {
		if line := b.Find("listening"); line != nil {
			b.Addr = line["address"].(string)
			return true
		}
		select {
		case <-b.done:
			t.Fatalf("broker ended: %v\n%s", b.exit, b.Output())
		default:
		}
		return false
	})
	return b
}

// follow reads the log until the process ends.
func (b *Broker) follow(r *bufio.Reader) {
	defer close(b.done)
	for {
		line, err := r.ReadBytes('\n')
		b.mu.Lock()
		b.raw.Write(line)
		var fields map[string]any
		if json.Unmarshal(line, &fields) == nil {
			b.lines = append(b.lines, fields)
		}
		b.mu.Unlock()
		if err != nil {
			break
		}
	}
	b.exit = b.cmd.Wait()
}

// Output is everything the process wrote.
func (b *Broker) Output() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.raw.String()
}

// Find returns the first log line with that message, or nil.
func (b *Broker) Find(message string) map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if l["msg"] == message {
			return l
		}
	}
	return nil
}

// Signal sends a signal to the process.
func (b *Broker) Signal(sig syscall.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(sig); err != nil {
		b.t.Fatal(err)
	}
}

// PID is the broker's process id.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// StopLimit is how long a broker may take to end: far longer than it needs on a machine that is busy.
const StopLimit = time.Minute

// Wait returns the process's exit status, which it must reach within d.
func (b *Broker) Wait(d time.Duration) int {
	b.t.Helper()
	select {
	case <-b.done:
	case <-time.After(d):
		b.t.Fatalf("broker still runs after %v\n%s", d, b.Output())
	}
	return b.cmd.ProcessState.ExitCode()
}

func (b *Broker) cleanup() {
	select {
	case <-b.done:
	default:
		b.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-b.done:
		case <-time.After(StopLimit):
			b.cmd.Process.Signal(syscall.SIGQUIT) // prints where everybody is
			time.Sleep(time.Second)
			b.cmd.Process.Kill()
			<-b.done
			b.t.Errorf("broker did not stop within %v", StopLimit)
		}
	}
	if code := b.cmd.ProcessState.ExitCode(); code > 0 {
		b.t.Errorf("broker ended with status %d", code)
	}
	out := b.Output()
	if strings.Contains(out, "DATA RACE") || strings.Contains(out, " panicked\"") || b.t.Failed() {
		b.t.Errorf("broker output:\n%s", out)
	}
}

// Records returns the audit records of an event, oldest first, once there are at least n.
func (b *Broker) Records(event string, n int) []map[string]any {
	b.t.Helper()
	var found []map[string]any
	Poll(b.t, fmt.Sprintf("%d audit records of %s", n, event), func() bool {
		found = b.readRecords(event)
		return len(found) >= n
	})
	return found
}

func (b *Broker) readRecords(event string) []map[string]any {
	names, _ := filepath.Glob(filepath.Join(b.Dir, "audit", "*.ndjson"))
	slices.Sort(names)
	var found []map[string]any
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			b.t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				continue
			}
			var fields map[string]any
			if err := json.Unmarshal(line, &fields); err != nil {
				b.t.Fatalf("%s: %v: %s", name, err, line)
			}
			if event == "" || fields["event"] == event {
				found = append(found, fields)
			}
		}
	}
	return found
}

// Host and Port are the parts of Addr.
func (b *Broker) Host() string { h, _, _ := net.SplitHostPort(b.Addr); return h }
func (b *Broker) Port() string { _, p, _ := net.SplitHostPort(b.Addr); return p }
