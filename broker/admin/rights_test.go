package admin

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// asked counts what of its commands a console lets through to the broker.
type asked struct {
	crowd
	done, denied int
}

func (a *asked) Do(context.Context, Command) (Done, error) { a.done++; return Done{}, nil }
func (a *asked) Denied(Command)                            { a.denied++ }

// Rights are two words. Any other, and none, lets nobody run anything: not even SHOW. The rules of the policy
// have no other (policy: "Bad admin"), so this is the last line of defence.
func TestRights(t *testing.T) {
	for _, tt := range []struct {
		rights      Rights
		shows, acts bool
	}{
		{Operator, true, true}, {Viewer, true, false},
		{"", false, false}, {"none", false, false}, {"OPERATOR", false, false}, {"viewer ", false, false},
	} {
		for sql, acts := range map[string]bool{
			"show clients": false, "show help": false, "set x = 1": false, "begin": false, "deallocate all": false,
			"reconnect": true, "suspend": true, "shutdown": true, "kill cert dn 'CN=a'": true,
		} {
			for protocol, in := range map[string]string{
				"simple":   message('Q', sql+"\x00"),
				"extended": message('P', "\x00"+sql+"\x00\x00\x00") + message('B', "\x00\x00\x00\x00\x00\x00\x00\x00") + message('E', "\x00\x00\x00\x00\x00") + message('S', ""),
			} {
				broker, conn := &asked{}, &script{in: bytes.NewReader([]byte(in))}
				c := &Console{Broker: broker, Rights: func() Rights { return tt.rights }, Conn: conn}
				if err := c.Serve(t.Context()); err != nil {
					t.Fatal(err)
				}
				may := tt.shows && !acts || tt.acts
				if got := !strings.Contains(conn.out.String(), "C42501\x00"); got != may || (broker.denied == 0) != may {
					t.Errorf("%q, %s, %s: run %t, %d refusals recorded, want it run: %t", tt.rights, sql, protocol, got, broker.denied, may)
				}
				if broker.done > 0 && !(tt.acts && acts) {
					t.Errorf("%q, %s, %s: the broker was told to do it", tt.rights, sql, protocol)
				}
			}
		}
	}
}
