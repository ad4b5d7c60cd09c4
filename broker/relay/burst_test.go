package relay

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pgsignet/pgsignet/testenv/fakepg"
)

// eager is a server connection of which more can be read without waiting: all there is.
type eager struct{ *fakepg.Script }

func (e eager) More(p []byte) int { n, _ := e.Read(p); return n }

// counted is a client that counts what it is written.
type counted struct {
	fakepg.Script
	writes int
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes++
	return c.Script.Write(b)
}

// A large result leaves in few writes, and no large buffer stays behind; of a long error all is seen.
func TestBursts(t *testing.T) {
	row := message('D', "\x00\x01\x00\x00\x03\xe8"+strings.Repeat("x", 1000))
	rows := bytes.Repeat(row, 1000)
	long := strings.Repeat("y", 20<<10) + " the end"
	head, _, _ := bytes.Cut(simpleReply, message('D', "\x00\x01\x00\x00\x00\x010"))
	tail := flow(message('C', "SELECT 1000\x00"), message('Z', "I"))
	for _, tt := range []struct {
		name   string
		reply  []byte
		writes int // at most
		rows   int64
		told   string
	}{
		{"rows", flow(head, rows, tail), len(rows)/burstBuffer + 2, 1000, "Tags:[SELECT 1000]"},
		{"one row that is larger than any buffer", flow(head, message('D', string(rows)), tail), len(rows)/burstBuffer + 2, 1, "Tags:[SELECT 1000]"},
		{"long error", flow(message('E', "SERROR\x00VERROR\x00CP0001\x00M"+long+"\x00\x00"), message('Z', "I")), 3, 0, "the end"},
		{"small", simpleReply, 1, 1, "Tags:[SELECT 1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, watcher := &counted{Script: fakepg.Script{Says: simpleRequest}}, &teller{}
			server := &Server{ServerConfig: ServerConfig{Conn: eager{&fakepg.Script{Says: tt.reply}}}, buf: make([]byte, idleBuffer), whole: serverBuffer}
			server.ledger.tx = 'I'
			s := New(Config{Client: client, Mode: SessionMode, Server: server, Observer: watcher, Detail: DetailStatements})
			b, err := s.in.next()
			if err == nil {
				err = s.request(b)
			}
			if err != nil {
				t.Fatal(err)
			}
			server.read()
			if !bytes.Equal(client.Heard, tt.reply) {
				t.Errorf("the client reads %d bytes, want the server's %d", len(client.Heard), len(tt.reply))
			}
			if client.writes > tt.writes {
				t.Errorf("%d writes, want at most %d", client.writes, tt.writes)
			}
			if s.rows.Load() != tt.rows || len(watcher.told) != 1 || !strings.Contains(watcher.told[0], tt.told) {
				t.Errorf("%d rows, %d statements told; want %d and one with %s", s.rows.Load(), len(watcher.told), tt.rows, tt.told)
			}
			if len(server.buf) != idleBuffer {
				t.Errorf("a buffer of %d bytes at rest, want %d", len(server.buf), idleBuffer)
			}
		})
	}
}

// What a burst in several ranges is joined in does not stay with the client.
func TestWriterKeepsNoBurst(t *testing.T) {
	client := &counted{}
	w := &writer{conn: client}
	part := bytes.Repeat([]byte("x"), burstBuffer/2)
	w.forward([][]byte{part, part}, 0, nil, nil)
	if len(client.Heard) != burstBuffer || client.writes != 1 {
		t.Errorf("%d bytes in %d writes, want %d in one", len(client.Heard), client.writes, burstBuffer)
	}
	if cap(w.scratch) > idleBuffer {
		t.Errorf("%d bytes are kept", cap(w.scratch))
	}
}
