package admin

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgsignet/pgsignet/pgwire"
)

// row holds one value for each column: string, bool (as 0 and 1), any of Go's integers, or nil for NULL.
type row []any

// timeLayout is how the console writes times, all of them UTC.
const timeLayout = "2006-01-02 15:04:05 UTC"

func stamp(t time.Time) string { return t.UTC().Format(timeLayout) }

// maybe is a stamp, or NULL for the zero time.
func maybe(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

// null is NULL for an empty text.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// seconds and micros split a wait as PgBouncer does.
func seconds(d time.Duration) int { return int(d / time.Second) }
func micros(d time.Duration) int  { return int(d % time.Second / time.Microsecond) }

// integer returns v as a number; every value of a numeric column is one.
func integer(v any) int64 {
	switch n := v.(type) {
	case int:
		return int64(n)
	case int32:
		return int64(n)
	case uint32:
		return int64(n)
	case int64:
		return n
	case bool:
		if n {
			return 1
		}
	}
	return 0
}

// encode writes v as a column of that type and format wants it.
func encode(v any, c pgwire.Column) *string {
	if v == nil {
		return nil
	}
	if text, ok := v.(string); ok {
		return &text
	}
	n := integer(v)
	if c.Type == typeInt4 {
		n = min(max(n, -1<<31), 1<<31-1)
	}
	s := strconv.FormatInt(n, 10)
	if c.Format == 1 {
		switch c.Type {
		case typeInt4:
			s = string(binary.BigEndian.AppendUint32(nil, uint32(int32(n))))
		case typeInt8:
			s = string(binary.BigEndian.AppendUint64(nil, uint64(n)))
		case typeNumeric:
			s = string(numeric(n))
		}
	}
	return &s
}

// numeric is an integer as numeric_send writes it: digits to the base 10 000.
func numeric(n int64) []byte {
	sign, rest := uint16(0), uint64(n)
	if n < 0 {
		sign, rest = 0x4000, -rest
	}
	var digits []uint16 // least significant first
	for ; rest > 0; rest /= 10_000 {
		digits = append(digits, uint16(rest%10_000))
	}
	weight := len(digits) - 1
	for len(digits) > 0 && digits[0] == 0 {
		digits = digits[1:]
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(digits)))
	b = binary.BigEndian.AppendUint16(b, uint16(max(weight, 0)))
	b = binary.BigEndian.AppendUint16(b, sign)
	b = binary.BigEndian.AppendUint16(b, 0)
	for i := len(digits) - 1; i >= 0; i-- {
		b = binary.BigEndian.AppendUint16(b, digits[i])
	}
	return b
}

// rows are the rows of a SHOW.
func (s *State) rows(show string) []row {
	if value, ok := reported[show]; ok {
		return []row{{value}}
	}
	switch show {
	case "clients":
		return s.clients(0)
	case "servers":
		return s.servers(0)
	case "sockets":
		return append(s.clients(7), s.servers(7)...)
	case "active_sockets":
		return active(append(s.clients(7), s.servers(7)...))
	case "pools":
		return s.pools()
	case "databases":
		return s.databases()
	case "users":
		return s.users()
	case "stats", "stats_totals", "stats_averages":
		return s.stats(show)
	case "totals":
		return s.totals()
	case "lists":
		return s.lists()
	case "config":
		return s.config()
	case "state":
		return []row{{"active", yes(!s.Paused)}, {"paused", yes(s.Paused)}, {"suspended", "no"}}
	case "version":
		return []row{{"PgBouncer 1.25.2"}}
	case "mem":
		return s.memory()
	case "sessions":
		return s.sessions()
	case "certs":
		return s.certs()
	case "maps":
		return s.maps()
	case "locks":
		return s.locks()
	case "trust":
		return s.trust()
	}
	return nil // peers, peer_pools, dns_hosts, dns_zones: we have none
}

func yes(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

// pad adds the columns of SHOW SOCKETS, whose buffers we do not show.
func pad(r row, n int) row {
	for range n {
		r = append(r, 0)
	}
	return r
}

// active keeps what is at work.
func active(rows []row) []row {
	kept := rows[:0]
	for _, r := range rows {
		if r[4] == "active" {
			kept = append(kept, r)
		}
	}
	return kept
}

func (s *State) clients(more int) []row {
	var rows []row
	for i := range s.Sessions {
		c := &s.Sessions[i]
		rows = append(rows, pad(row{
			"C", c.Role, c.Database, c.Replication, c.State, c.Addr, c.Port, c.LocalAddr, c.LocalPort,
			stamp(c.Connected), stamp(c.Requested), seconds(c.Wait), micros(c.Wait), 0,
			pointer(c.ID), c.Server, 0, c.TLS, c.App, c.Prepared, c.ID,
		}, more))
	}
	return rows
}

// pointer stands for PgBouncer's address of a client in memory: unique, and no address.
func pointer(id int32) string { return "c" + strconv.FormatInt(int64(id), 10) }

func (s *State) servers(more int) []row {
	holders := make(map[string]int32)
	for i := range s.Sessions {
		holders[s.Sessions[i].SID] = s.Sessions[i].ID
	}
	var rows []row
	for i := range s.Servers {
		v := &s.Servers[i]
		link := ""
		if id, ok := holders[v.Session]; ok && v.State == "active" {
			link = pointer(id)
		}
		rows = append(rows, pad(row{
			"S", v.Role, v.Database, v.Replication, v.State, v.Addr, v.Port, v.LocalAddr, v.LocalPort,
			stamp(v.Connected), stamp(v.Requested), 0, 0, v.Doomed,
			v.Ptr, link, v.PID, v.TLS, "", 0, v.ID,
		}, more))
	}
	return rows
}

func (s *State) pools() []row {
	var rows []row
	for _, p := range s.Pools {
		rows = append(rows, row{
			p.Database, p.Role, p.Active, p.Waiting, 0, 0, p.Used, 0, 0, p.Idle, 0, 0, p.Login,
			seconds(p.MaxWait), micros(p.MaxWait), null(p.Mode), nil,
		})
	}
	return rows
}

func (s *State) databases() []row {
	var rows []row
	for _, d := range s.Databases {
		rows = append(rows, row{
			d.Name, null(d.Host), d.Port, d.DBName, nil, d.PoolSize, d.MinIdle, 0, seconds(d.MaxLifetime),
			null(d.Mode), nil, d.MaxConnections, d.Connections, 0, d.Clients, d.Paused, d.Disabled,
		})
	}
	return rows
}

func (s *State) users() []row {
	var rows []row
	for _, u := range s.Users {
		rows = append(rows, row{u.Name, "", "", nil, 0, u.Connections, 0, u.Clients})
	}
	return rows
}

func (s *State) stats(show string) []row {
	lists := [][]Stats{s.Totals, s.Averages}
	switch show {
	case "stats_totals":
		lists = lists[:1]
	case "stats_averages":
		lists = lists[1:]
	}
	var rows []row
	for i := range lists[0] {
		r := row{lists[0][i].Database}
		for _, list := range lists {
			for _, v := range list[i].Values {
				r = append(r, v)
			}
		}
		rows = append(rows, r)
	}
	return rows
}

func (s *State) totals() []row {
	var rows []row
	for _, part := range []struct {
		prefix string
		list   []Stats
	}{{"total_", s.Totals}, {"avg_", s.Averages}} {
		var sum [11]int64
		for _, d := range part.list {
			for i, v := range d.Values {
				sum[i] += v
			}
		}
		for i, v := range sum {
			rows = append(rows, row{statIn("totals", part.prefix, i), v})
		}
	}
	return rows
}

func (s *State) lists() []row {
	// PgBouncer's free ones are memory that it keeps for later: used are all that there are.
	return []row{
		{"databases", len(s.Databases)}, {"users", len(s.Users)}, {"peers", 0}, {"pools", len(s.Pools)},
		{"peer_pools", 0}, {"free_clients", 0}, {"used_clients", len(s.Sessions)}, {"login_clients", s.HalfOpen},
		{"free_servers", 0}, {"used_servers", len(s.Servers)},
		{"dns_names", 0}, {"dns_zones", 0}, {"dns_queries", 0}, {"dns_pending", 0},
	}
}

func (s *State) config() []row {
	var rows []row
	byKey := func(a, b Setting) int { return strings.Compare(a.Key, b.Key) }
	for _, c := range slices.SortedFunc(slices.Values(s.Settings), byKey) {
		rows = append(rows, row{c.Key, c.Value, c.Default, yes(c.Changeable)})
	}
	return rows
}

func (s *State) memory() []row {
	var rows []row
	for _, m := range s.Memory {
		rows = append(rows, row{m.Name, m.Size, m.Used, m.Free, m.Size * (m.Used + m.Free)})
	}
	return rows
}

func (s *State) sessions() []row {
	var rows []row
	for i := range s.Sessions {
		c := &s.Sessions[i]
		rows = append(rows, row{
			c.ID, c.SID, c.State, c.Pinned, c.Role, c.Database, c.Map, c.Subject, c.Issuer, c.Serial, c.Cert,
			maybe(c.NotAfter), null(c.SPIFFE), c.Addr, c.Port, c.TLS, c.App, null(c.PoolMode), c.ServerPID,
			stamp(c.Connected), stamp(c.Requested), c.Statements, c.BytesIn, c.BytesOut,
		})
	}
	return rows
}

func (s *State) certs() []row {
	var rows []row
	for _, c := range s.Certs {
		rows = append(rows, row{
			c.SHA256, c.Serial, c.Issuer, c.Subject, null(c.SPIFFE), stamp(c.NotAfter), c.Revocation,
			yes(c.Locked), c.Sessions, c.Refused, stamp(c.LastSeen),
		})
	}
	return rows
}

func (s *State) maps() []row {
	var rows []row
	for i, m := range s.Maps {
		rows = append(rows, row{
			i + 1, m.Kind, m.Name, m.Source, m.Match, m.Roles, m.Databases, m.Sessions, m.Granted, m.Refused, maybe(m.LastUsed),
		})
	}
	return rows
}

func (s *State) trust() []row {
	var rows []row
	for _, t := range s.Trust {
		rows = append(rows, row{
			t.Listener, t.Kind, t.Subject, null(t.SHA256), null(t.Number), stamp(t.NotBefore), stamp(t.NotAfter),
			t.Entries, t.status(s.Now), null(t.File),
		})
	}
	return rows
}

// status is what keeps it from counting at now, or "ok".
func (t *Trust) status(now time.Time) string {
	switch {
	case t.Unusable != "":
		return t.Unusable
	case now.Before(t.NotBefore):
		return "not yet valid"
	case now.After(t.NotAfter) && t.Kind == "crl":
		return "overdue"
	case now.After(t.NotAfter):
		return "expired"
	}
	return "ok"
}

func (s *State) locks() []row {
	var rows []row
	for _, l := range s.Locks {
		rows = append(rows, row{l.Kind, l.Value, null(l.Issuer), null(l.Reason), l.By, stamp(l.At), maybe(l.Until)})
	}
	return rows
}
