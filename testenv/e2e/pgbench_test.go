package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/pki"
	"github.com/pgsignet/pgsignet/testenv/race"
)

// pgbench runs pgbench through the broker and returns what it printed.
func (b *Broker) pgbench(t *testing.T, leaf *pki.Leaf, user string, args ...string) string {
	t.Helper()
	cert, key := b.WriteCert(leaf)
	cmd := exec.Command(b.pgbenchPath(t), append(args, "orders")...)
	cmd.Env = append(os.Environ(), "PGHOST=localhost", "PGHOSTADDR=127.0.0.1", "PGPORT="+b.Port(), "PGUSER="+user,
		"PGSSLMODE=verify-full", "PGSSLROOTCERT="+b.RootCert(), "PGSSLCERT="+cert, "PGSSLKEY="+key, "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("pgbench %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (b *Broker) pgbenchPath(t *testing.T) string {
	path := b.World.PG.Install.Bin + "/pgbench"
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err := exec.LookPath("pgbench")
	if err != nil {
		t.Fatal("pgbench is not installed: apt-get install postgresql-contrib, or set PGSIGNET_TEST_PGBIN")
	}
	return path
}

var processed = regexp.MustCompile(`number of transactions actually processed: (\d+)`)

// TestPgbenchFailsNoTransaction runs every protocol with as many clients as there are server connections
// and, in transaction mode, ten times as many, which no login waits for. Those log in for each transaction without the race
// detector alone: 600 logins.
func TestPgbenchFailsNoTransaction(t *testing.T) {
	w := Shared(t)
	// All of pgbench's threads connect at once, from one address, to a machine that is busy with them.
	many := "half_open_per_address = 1000\n handshake_timeout = \"2m\""
	session := w.Start(t, Options{Rules: people, Listener: many, Pool: "size = 20"})
	tx := w.Start(t, Options{Rules: people, Listener: many, Pool: transactions(20, `wait_timeout = "2m"`)})
	app := w.Client("app")
	session.pgbench(t, app, "app", "-i", "-q", "-s", "1")
	for _, tt := range []struct {
		mode    string
		broker  *Broker
		clients []int
	}{
		{"session", session, []int{1, 16, 20}},
		{"transaction", tx, []int{1, 16, 200}},
	} {
		for _, clients := range tt.clients {
			for _, protocol := range []string{"simple", "extended", "prepared"} {
				for _, connect := range []bool{false, true} {
					if connect && clients == 200 && race.Enabled {
						continue
					}
					t.Run(fmt.Sprintf("%s/%d/%s/connect=%v", tt.mode, clients, protocol, connect), func(t *testing.T) {
						tt.broker.benchOnce(t, app, tt.mode, protocol, clients, connect)
					})
				}
			}
		}
	}
}

// benchOnce runs one way of sending transactions, of which none may fail.
func (b *Broker) benchOnce(t *testing.T, leaf *pki.Leaf, mode, protocol string, clients int, connect bool) {
	threads := min(clients, 4)
	if protocol == "prepared" || connect && mode == "session" {
		// pgbench prepares and logs in with blocking calls, and each may wait for a server connection
		// that another client of the same thread holds. In transaction mode a login waits for none.
		threads = clients
	}
	count := max(2, race.Share(200)/clients)
	args := []string{"-n", "-M", protocol, "-c", strconv.Itoa(clients), "-j", strconv.Itoa(threads)}
	if connect {
		args, count = append(args, "-C"), max(1, count/2) // each is a login
	}
	out := b.pgbench(t, leaf, "app", append(args, "-t", strconv.Itoa(count))...)
	m := processed.FindStringSubmatch(out)
	if m == nil || m[1] != strconv.Itoa(count*clients) {
		t.Errorf("want %d transactions:\n%s", count*clients, out)
	}
}
