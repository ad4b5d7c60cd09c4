package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// kind is a fake server of one state.
func (l *lab) kind(standby, readOnly string) *fakepg.Server {
	override := append(params("in_hot_standby", standby), params("default_transaction_read_only", readOnly)...)
	return l.fake(func(c *fakepg.Conn) {
		c.Login(fakepg.Login{Override: override})
		c.AwaitClose()
	})
}

func TestTargets(t *testing.T) {
	l := newLab(t)
	primary, readOnly, standby := l.kind("off", "off"), l.kind("off", "on"), l.kind("on", "off")
	name := map[string]string{primary.Addr: "primary", readOnly.Addr: "read-only", standby.Addr: "standby"}
	all := []string{standby.Addr, readOnly.Addr, primary.Addr}
	for _, tt := range []struct {
		target string
		hosts  []string
		want   string // "" for none
	}{
		{TargetAny, all, "standby"},
		{"", all, "standby"},
		{TargetReadWrite, all, "primary"},
		{TargetReadOnly, []string{primary.Addr, readOnly.Addr}, "read-only"},
		{TargetReadOnly, []string{primary.Addr, standby.Addr}, "standby"},
		{TargetPrimary, all, "read-only"},
		{TargetStandby, []string{primary.Addr, standby.Addr}, "standby"},
		{TargetPreferStandby, []string{primary.Addr, readOnly.Addr, standby.Addr}, "standby"},
		{TargetPreferStandby, []string{primary.Addr, readOnly.Addr}, "primary"},
		{TargetReadWrite, []string{standby.Addr, readOnly.Addr}, ""},
		{TargetStandby, []string{primary.Addr}, ""},
	} {
		t.Run(fmt.Sprint(tt.target, " ", len(tt.hosts)), func(t *testing.T) {
			cfg := l.config(tt.hosts...)
			cfg.Target = tt.target
			u := l.upstream(cfg)
			for round := range 3 { // the later ones know who did not fit
				if tt.want == "" {
					refusalOf(t, u, "57P03", ReasonTarget)
					continue
				}
				c, err := u.Dial(t.Context(), login)
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				if name[c.Addr] != tt.want || c.state.standby != (tt.want == "standby") {
					t.Errorf("round %d: logged in to the %s, want %s", round, name[c.Addr], tt.want)
				}
				c.Close()
			}
		})
	}
}

// A server that does not report its state is asked, when the target needs to know.
func TestTargetAsksOldServers(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) {
		c.Login(fakepg.Login{Params: params("server_version", "13.9")})
		c.ExpectQuery(stateQuery)
		c.Write(pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: "a", Type: 16, Size: 1}, {Name: "b", Type: 25, Size: -1}}))
		c.Write(pgwire.AppendDataRow(nil, []*string{text("f"), text("off")}))
		c.Reply("C ZI")
		c.AwaitClose()
	})
	cfg := l.config(server.Addr)
	cfg.Target = TargetPrimary
	l.dial(cfg, login)
}

func text(s string) *string { return &s }

// A misfit costs a login once, not at every dial.
func TestMisfitIsTriedLast(t *testing.T) {
	l := newLab(t)
	standby, primary := l.kind("on", "off"), l.kind("off", "off")
	cfg := l.config(standby.Addr, primary.Addr)
	cfg.Target = TargetPrimary
	u := l.upstream(cfg)
	for range 5 {
		c, err := u.Dial(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if n := standby.Accepted(); n != 1 {
		t.Errorf("%d logins to the standby, want 1", n)
	}
}

// silent is a listener that accepts and says nothing, like a host that swallows packets.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String() // the kernel completes connections; nobody reads them
}

// refusing is an address where nobody listens, nor ever will: port 1 is nobody's.
const refusing = "127.0.0.1:1"

// One broken host never blocks the others: it costs its timeout once, later dials pass it by.
func TestBrokenHostBlocksNobody(t *testing.T) {
	l := newLab(t)
	good := l.fake(welcome)
	for name, broken := range map[string]string{"silent": silent(t), "refusing": refusing} {
		t.Run(name, func(t *testing.T) {
			cfg := l.config(broken, good.Addr)
			cfg.ConnectTimeout = 4 * time.Second // who waits for the broken host waits that long
			u := l.upstream(cfg)
			for i := range 12 {
				start := time.Now()
				c, err := u.Dial(t.Context(), login)
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				if took := time.Since(start); i > 0 && took >= cfg.ConnectTimeout {
					t.Errorf("dial %d took %v", i, took)
				}
			}
		})
	}
}

// One dial at a time against a failing server; the others get the last error at once.
func TestOneDialAtATime(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) { c.AwaitClose() }) // never answers
	cfg := l.config(server.Addr)
	cfg.ConnectTimeout = 200 * time.Millisecond
	u := l.upstream(cfg)
	refusalOf(t, u, "08006", ReasonUnreachable)
	before, began := server.Accepted(), time.Now()
	end := began.Add(700 * time.Millisecond)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for time.Now().Before(end) {
				if c, err := u.Dial(t.Context(), login); err == nil {
					c.Close()
					t.Error("logged in")
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	work.Wait()
	// Each lasts until its timeout: more of them than follow one another in that time were not alone.
	took := time.Since(began)
	if n := int(server.Accepted() - before); n > 1+int(took/cfg.ConnectTimeout) {
		t.Errorf("%d dials in %v against a server that failed, each of %v", n, took, cfg.ConnectTimeout)
	}
}

// A server that came back is found within a second or so.
func TestRecovery(t *testing.T) {
	l := newLab(t)
	var up atomic.Bool
	server := l.fake(func(c *fakepg.Conn) {
		if !up.Load() {
			c.Refuse("57P03", "the database system is starting up")
		}
		welcome(c)
	})
	u := l.upstream(l.config(server.Addr))
	for range 5 {
		if _, err := u.Dial(t.Context(), login); err == nil {
			t.Fatal("logged in")
		}
	}
	up.Store(true)
	start := time.Now()
	for {
		c, err := u.Dial(t.Context(), login)
		if err == nil {
			c.Close()
			break
		}
		if time.Since(start) > 10*longestPause {
			t.Fatalf("still refused after %v: %v", time.Since(start), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A refusal of the role is the role's matter: it neither stops others nor counts against the host.
func TestRefusedRoleIsNoHostFailure(t *testing.T) {
	l := newLab(t)
	server := l.fake(func(c *fakepg.Conn) {
		if c.Startup.User() != "app" {
			c.Refuse("28000", "role does not exist")
		}
		welcome(c)
	})
	u := l.upstream(l.config(server.Addr))
	for range 20 {
		if _, err := u.Dial(t.Context(), Login{Role: "nobody", Database: "orders"}); err == nil {
			t.Fatal("logged in")
		}
		c, err := u.Dial(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// The next host is tried after a refusal, and the most telling error is the one that counts.
func TestErrorsOfSeveralHosts(t *testing.T) {
	l := newLab(t)
	refuse := func(code string) string {
		return l.fake(func(c *fakepg.Conn) { c.Refuse(code, "no") }).Addr
	}
	noTLS := fakepg.Start(t, fakepg.Options{}, func(*fakepg.Conn) {}).Addr
	for _, tt := range []struct {
		name         string
		hosts        []string
		code, reason string
	}{
		{"refused beats dead", []string{refusing, refuse("3D000")}, "3D000", ReasonRefused},
		{"refused beats starting", []string{refuse("28000"), refuse("57P03")}, "28000", ReasonRefused},
		{"the first refusal counts", []string{refuse("28000"), refuse("53300")}, "28000", ReasonRefused},
		{"starting beats dead", []string{refusing, refuse("57P03")}, "57P03", ReasonStarting},
		{"no TLS beats dead", []string{refusing, noTLS}, "08006", ReasonTLS},
		{"dead", []string{refusing, refusing}, "08006", ReasonUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := l.refusal(l.config(tt.hosts...), tt.code, tt.reason)
			for _, host := range tt.hosts {
				if !strings.Contains(e.Error(), host) {
					t.Errorf("%q does not name %s", e.Error(), host)
				}
			}
		})
	}
	good := l.fake(welcome).Addr
	for _, code := range []string{"28000", "3D000", "57P03", "53300"} {
		if c := l.dial(l.config(refuse(code), good), login); c.Addr != good {
			t.Errorf("after %s: logged in to %s", code, c.Addr)
		}
	}
}

// Names are looked up at every dial, and all their addresses are tried.
func TestLookup(t *testing.T) {
	l := newLab(t)
	first, second := l.fake(welcome), l.fake(welcome)
	_, port, err := net.SplitHostPort(first.Addr)
	if err != nil {
		t.Fatal(err)
	}
	cfg := l.config(net.JoinHostPort("localhost", port), second.Addr)
	cfg.ServerName = "localhost"
	answers := make(chan []string, 10)
	cfg.Lookup = func(ctx context.Context, host string) ([]string, error) {
		select {
		case addrs := <-answers:
			if addrs != nil {
				return addrs, nil
			}
			return nil, errors.New("no such host " + host)
		case <-ctx.Done(): // asked once more, behind a dial that does not wait for it
			return nil, ctx.Err()
		}
	}
	u := l.upstream(cfg)
	for i, tt := range []struct {
		answer []string
		want   string
	}{
		{[]string{"127.0.0.1"}, first.Addr},
		{[]string{"127.0.0.2", "127.0.0.1"}, first.Addr}, // nobody listens on .2
		{nil, second.Addr},
	} {
		answers <- tt.answer
		c, err := u.Dial(t.Context(), login)
		if err != nil {
			t.Fatalf("dial %d: %v", i, err)
		}
		if c.Addr != tt.want {
			t.Errorf("dial %d: logged in to %s, want %s", i, c.Addr, tt.want)
		}
		c.Close()
	}
	// The name failed just now: it is not asked again, and nobody waits for it.
	c, err := u.Dial(t.Context(), login)
	if err != nil || c.Addr != second.Addr {
		t.Fatalf("got %v, %v", c, err)
	}
	c.Close()
}

// A name server cannot make us remember without end.
func TestGatesAreBounded(t *testing.T) {
	var g gates
	for i := range 10 * maxGates {
		g.leave(fmt.Sprint(i), good, unreachable(errors.New("x")), false)
	}
	if len(g.m) > maxGates {
		t.Errorf("%d gates, want at most %d", len(g.m), maxGates)
	}
}

func TestPause(t *testing.T) {
	var list []time.Duration
	for n := 1; n < 40; n++ {
		list = append(list, pause(n))
	}
	if slices.Min(list) < firstPause/2 || slices.Max(list) > longestPause {
		t.Errorf("pauses %v", list)
	}
}
