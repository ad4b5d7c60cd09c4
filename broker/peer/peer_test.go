package peer

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shortDir is a private folder whose sockets' paths are short enough.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func open(t *testing.T, dir string) *Place {
	t.Helper()
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// A directory holds the sockets of live and dead processes and others' files: only the first are asked,
// and the second are removed.
func TestPlaceFindsTheOthers(t *testing.T) {
	dir := shortDir(t)
	a, b := open(t, dir), open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "0123456.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"console.sock", "0000000.sock"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		if name == "0000000.sock" {
			l.SetUnlinkOnClose(false)
			l.Close()
			continue
		}
		defer l.Close()
	}
	if got := a.Others(); len(got) != 2 || !slices.Contains(got, b.name) {
		t.Errorf("others %q, want %s and the dead one", got, b.name)
	}
	if _, err := a.Dial(t.Context(), "0000000.sock"); !errors.Is(err, ErrDead) {
		t.Errorf("a dead process: %v", err)
	}
	if got := a.Others(); !slices.Equal(got, []string{b.name}) {
		t.Errorf("others %q, want %s alone", got, b.name)
	}
	if taken, err := a.takeFrom(t.Context(), "0000000.sock", &Message{Do: Take}); err == nil || taken != nil {
		t.Errorf("took %v, %v", taken, err)
	}
	b.Close()
	if got := a.Others(); len(got) != 0 {
		t.Errorf("others after Close: %q", got)
	}
	for _, bad := range []string{strings.Repeat("x", MaxPath), filepath.Join("f", "d")} {
		if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(filepath.Join(dir, bad)); err == nil {
			t.Errorf("opened %s", bad)
		}
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "must be 0700") {
		t.Errorf("a directory of mode 0750: %v", err)
	}
}

// A directory must be ours or root's, and so must a link to it.
func TestPrivateDirNamesWhoCouldInterfere(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("did not run: files of another user need root")
	}
	dir := t.TempDir()
	mine, theirs := filepath.Join(dir, "mine"), filepath.Join(dir, "theirs")
	for _, d := range []string{mine, theirs} {
		if err := PrivateDir(d); err != nil {
			t.Fatal(err)
		}
	}
	const stranger = 54321
	myLink, theirLink := filepath.Join(dir, "my-link"), filepath.Join(dir, "their-link")
	for _, l := range []string{myLink, theirLink} {
		if err := os.Symlink(mine, l); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{theirs, theirLink} {
		if err := os.Lchown(name, stranger, stranger); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{mine: "", myLink: "", theirs: "belongs to uid 54321", theirLink: "belongs to uid 54321", filepath.Join(mine, "\x00"): "invalid"} {
		if err := PrivateDir(name); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(name), err, want)
		}
	}
}

// A socket that is passed on accepts for whoever has it, and its queue outlives the first owner.
func TestTakeOver(t *testing.T) {
	dir := shortDir(t)
	old, fresh := open(t, dir), open(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	name := Name{Kind: "listener", Name: "main", Address: "127.0.0.1:0"}
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			c, err := old.Accept()
			if err != nil {
				return err
			}
			defer c.Close()
			for _, want := range []string{Take, Serving, Settled} {
				m, _, err := c.Receive()
				if err != nil || m.Do != want {
					return errors.Join(err, errors.New("want "+want))
				}
				answer := &Message{Do: OK}
				switch want {
				case Take:
					answer.Locks = []json.RawMessage{json.RawMessage(`{"kind":"dn"}`)}
					err = c.Send(answer, Socket{name, l.(*net.TCPListener)}, Socket{Name{Kind: "unwanted"}, l.(*net.TCPListener)})
				case Serving:
					err = c.Send(answer)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	taken, err := fresh.TakeOver(t.Context(), "test", false)
	if err != nil || !taken.Any() || len(taken.Locks) != 1 {
		t.Fatalf("%+v, %v", taken, err)
	}
	got := taken.Socket(name)
	if got == nil || taken.Socket(name) != nil || taken.Socket(Name{Kind: "listener"}) != nil {
		t.Fatal("the socket is not there once")
	}
	defer got.Close()
	waits, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	l.Close()
	conn, err := got.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("x"))
	conn.Close()
	if b, err := io.ReadAll(waits); string(b) != "x" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	if err := taken.Finish(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// FuzzReceive: whatever comes, a message or an error, and no descriptor stays open.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0d{\"Do\":\"take\"}"))
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x1b{\"Sockets\":[{\"Kind\":\"x\"}]}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	p, err := Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { p.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := net.Dial("unix", filepath.Join(dir, p.name))
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			raw.Write(data)
			raw.Close()
		}()
		m, files, err := c.Receive()
		if (m == nil) == (err == nil) || len(files) != 0 {
			t.Errorf("%q: %v, %d files, %v", data, m, len(files), err)
		}
	})
}

// Two nodes that start at the same moment do not wait for each other.
func TestTakeOverAtOnce(t *testing.T) {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var places [2]*Place
	for i := range places {
		if places[i], err = Open(dir); err != nil {
			t.Fatal(err)
		}
		defer places[i].Close()
	}
	stop := places[0].answerMeanwhile("a", true, places[0].Others()) // as TakeOver does, for as long as it takes
	taken, err := places[1].TakeOver(t.Context(), "b", true)
	if err != nil || taken.Any() || len(taken.Locks) != 0 {
		t.Errorf("%+v, %v", taken, err)
	}
	if answer, err := places[1].Ask(t.Context(), places[0].name, &Message{Do: Lock}); err != nil || answer.Do != Refused {
		t.Errorf("a lock for a process that does not serve yet: %+v, %v", answer, err)
	}
	stop()
	go func() { // what is asked after that waits for the process to serve
		if c, err := places[0].Accept(); err == nil {
			c.Receive()
			c.Send(&Message{Do: Sibling, Locks: []json.RawMessage{json.RawMessage(`{"kind":"dn"}`)}})
			c.Close()
		}
	}()
	if taken, err = places[1].TakeOver(t.Context(), "b", true); err != nil || taken.Any() || len(taken.Locks) != 1 {
		t.Errorf("of a node beside: %+v, %v", taken, err)
	}
}

// Two nodes that start at the same moment in one directory, without reuse_port, are told so at once.
func TestTwoNodesStartedAtOnce(t *testing.T) {
	dir := shortDir(t)
	places := [2]*Place{open(t, dir), open(t, dir)}
	var starting sync.WaitGroup
	var refused atomic.Int64
	for i, p := range places {
		starting.Go(func() {
			if _, err := p.TakeOver(t.Context(), string("ab"[i]), false); err != nil && strings.Contains(err.Error(), "uses this runtime_dir") {
				refused.Add(1)
			}
		})
	}
	starting.Wait()
	if refused.Load() == 0 {
		t.Error("neither is told of the other")
	}
	for _, p := range places {
		p.Close()
	}
}

// Two processes of one node that start at the same moment, with reuse_port or without, do not both serve: one goes
// first, and the other takes over from it, as it does when it is started later. Neither waits until it gives up.
func TestOneNodeStartedTwiceAtOnce(t *testing.T) {
	for round := range 8 { // names are random: either may be the lesser
		dir := shortDir(t)
		places := [2]*Place{open(t, dir), open(t, dir)}
		stop := make(chan struct{})
		var first, serving sync.WaitGroup
		first.Add(1)
		var alone, after atomic.Int64
		for _, p := range places {
			serving.Go(func() {
				taken, err := p.TakeOver(t.Context(), "a", round%2 == 0)
				if err != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				defer taken.Close()
				if taken.Any() {
					after.Add(1)
					first.Done()
					return
				}
				if alone.Add(1) > 1 {
					first.Done() // both serve
					return
				}
				for { // as one that serves
					c, err := p.Accept()
					if err != nil {
						return
					}
					if m, _, err := c.Receive(); err == nil && m.Do == Take {
						c.Send(&Message{Do: OK})
					}
					c.Close()
				}
			})
		}
		go func() { first.Wait(); close(stop) }()
		select {
		case <-stop:
		case <-time.After(time.Minute):
			t.Error("nobody takes over from the first")
		}
		for _, p := range places {
			p.Close()
		}
		serving.Wait()
		if alone.Load() != 1 || after.Load() != 1 {
			t.Errorf("round %d: %d serve without a predecessor, %d take over from one; want one each", round, alone.Load(), after.Load())
		}
	}
}
