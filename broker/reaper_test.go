package broker

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/pgsignet/pgsignet/policy"
)

// A busy session is looked at in every sweep, an idle one once a second, one that has left never again.
func TestReaperRounds(t *testing.T) {
	busy, idle, soon, leaves := &session{number: 1}, &session{number: 2}, &session{number: 3}, &session{number: 4}
	waits := map[*session]time.Duration{
		busy: reapInterval, idle: idlePatience, soon: 3*reapInterval + reapInterval/2, leaves: -time.Hour,
	}
	looks := make(map[*session]int)
	var r rounds
	came := []*session{busy, idle, soon, leaves}
	for sweep := range 60 {
		if sweep == 5 {
			leaves.left.Store(true)
		}
		r.sweep(came, func(s *session) time.Duration { looks[s]++; return waits[s] })
		came = nil
	}
	for s, want := range map[*session]int{busy: 60, idle: 6, soon: 20, leaves: 5} {
		if looks[s] != want {
			t.Errorf("session %d: %d looks in 60 sweeps, want %d", s.number, looks[s], want)
		}
	}
	for i := range r.slots {
		for _, s := range r.slots[i][:cap(r.slots[i])] {
			if s == leaves {
				t.Errorf("slot %d keeps a session that has left", i)
			}
		}
	}
}

// What begins the moment after a look is not late at the next one.
func TestReaperPatience(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name   string
		limits policy.Session
		door   Listener
		want   time.Duration
	}{
		{"no limit", policy.Session{}, Listener{}, idlePatience},
		{"long limits", policy.Session{StatementTimeout: time.Minute, IdleTimeout: time.Hour, MaxDuration: time.Hour}, Listener{OpenBatchTimeout: time.Minute}, idlePatience},
		{"a short statement_timeout", policy.Session{StatementTimeout: 300 * time.Millisecond}, Listener{}, 300 * time.Millisecond},
		{"a short idle_in_transaction_timeout", policy.Session{}, Listener{IdleInTransactionTimeout: 200 * time.Millisecond}, 200 * time.Millisecond},
		{"a short open_batch_timeout", policy.Session{}, Listener{OpenBatchTimeout: 400 * time.Millisecond}, 400 * time.Millisecond},
		{"almost idle for too long", policy.Session{IdleTimeout: 10*time.Second + 250*time.Millisecond}, Listener{}, 250 * time.Millisecond},
		{"almost too old", policy.Session{MaxDuration: 20*time.Second + 350*time.Millisecond}, Listener{}, 350 * time.Millisecond},
	} {
		s := &session{door: &door{Listener: tt.door}, began: now.Add(-20 * time.Second)}
		if got := s.patience(&tt.limits, now.Add(-10*time.Second), now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// max_duration ends a session when it has passed, and not before.
func TestMaxDurationEndsASession(t *testing.T) {
	rule := everybody
	rule.Session.MaxDuration = time.Hour
	l := newLab(t, 1, nil, rule)
	conn := l.login(l.Client("alice"))
	s := l.server.live.all()[0]
	l.poll("the session to be relayed", func() bool { return s.relaying() != nil })
	var cancels sync.WaitGroup
	s.checkClocks(s.began.Add(time.Hour), &cancels)
	if end := s.endedBy(); end != nil {
		t.Errorf("ended before its time: %v", end)
	}
	s.checkClocks(s.began.Add(time.Hour+1), &cancels)
	if end := s.endedBy(); end == nil || end.Reason != reasonMaxDuration {
		t.Fatalf("ended by %v, want %s", end, reasonMaxDuration)
	}
	if typ, body := read(conn, "E"); typ != 'E' || !bytes.Contains(body, []byte("C57P01\x00")) {
		t.Errorf("the client reads %c %q, want 57P01", typ, body)
	}
}
