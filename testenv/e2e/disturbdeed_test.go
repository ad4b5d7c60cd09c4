package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// mark is a mark that nothing else has.
func (c *sufferer) mark() string {
	c.units++
	return fmt.Sprintf("d%02du%d", c.number, c.units)
}

// query is a Query of that shape; $ stands for its mark.
func (c *sufferer) query(sql string, shape ...string) unit {
	u := unit{mark: c.mark(), shape: shape}
	u.send = Query(strings.ReplaceAll(sql, "$", u.mark) + " /* " + u.mark + " */")
	return u
}

// insert writes its mark.
func (c *sufferer) insert() unit {
	u := c.query("insert into disturbed values ('$')", "C", "Z")
	u.rows = []string{u.mark}
	return u
}

func (c *sufferer) group(units []unit) []unit {
	var rows []string
	for _, u := range units {
		rows = append(rows, u.rows...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups = append(c.groups, rows)
	return units
}

// deed is what the client asks for next, sent at once.
func (c *sufferer) deed() []unit {
	if c.status != 'I' { // of a transaction that was begun on its own
		return c.finishing()
	}
	switch c.random.IntN(16) {
	case 0, 1, 2:
		return []unit{c.insert()}
	case 3:
		return []unit{c.query("select '$', n from generate_series(1, 50) n", "T", "D*", "C", "Z")}
	case 4:
		return []unit{c.query("select '$', repeat('x', 20000) from generate_series(1, 30) n", "T", "D*", "C", "Z")}
	case 5:
		end := []string{"commit", "rollback"}[c.random.IntN(2)]
		return c.group([]unit{c.begin(), c.insert(), c.insert(), c.query(end, "C", "Z")})
	case 6:
		return []unit{c.begin()}
	case 7, 8:
		return []unit{c.batch([]string{"", "keep"}[c.random.IntN(2)]), c.batch("")}
	case 9:
		return []unit{c.copyIn()}
	case 10:
		return []unit{c.query("copy (select '$', repeat('y', 9000) from generate_series(1, 40)) to stdout", "H", "d*", "c", "C", "Z")}
	case 11:
		to := fmt.Sprintf("%dkB", 100+c.random.IntN(900))
		u := c.query("set work_mem = '"+to+"'", "C", "Z")
		u.sets = to
		return []unit{u}
	case 12:
		if c.memory == "" {
			return []unit{c.insert()}
		}
		u := c.query("show work_mem", "T", "D", "C", "Z")
		u.answer = c.memory
		return []unit{u}
	case 13:
		u := c.query("select 1/0, '$'", "T", "Z")
		u.fails = "22012"
		return []unit{u}
	case 14:
		if c.random.IntN(3) == 0 {
			return c.temporary()
		}
		return []unit{c.query("select pg_advisory_xact_lock_shared(4711), '$'", "T", "D", "C", "Z")}
	}
	if c.random.IntN(2) == 0 {
		after, key := time.Duration(c.random.IntN(60))*time.Millisecond, c.conn.key
		c.d.asides.Go(func() { cancelSoon(c.d.broker.Addr, key, after) })
	}
	return []unit{c.query("select '$', pg_sleep(0.05)", "T", "D*", "C", "Z")}
}

func (c *sufferer) begin() unit {
	u := c.query("begin", "C", "Z")
	u.begins = true
	return u
}

// temporary makes, uses and drops a table that keeps the client on its server connection. What a late cancel request has
// left of an earlier one is in the way.
func (c *sufferer) temporary() []unit {
	all := []unit{c.query("create temp table disturbed_temp (t text)", "C", "Z"), c.query("insert into disturbed_temp values ('$') returning t", "T", "D", "C", "Z"),
		c.query("drop table disturbed_temp; discard temp", "C", "C", "Z")}
	all[0].fails, all[1].fails, all[2].fails = "42P07", "42P01", "42P01"
	return all
}

// finishing goes on in a transaction that is open, or ends it.
func (c *sufferer) finishing() []unit {
	if c.status == 'T' && c.random.IntN(3) > 0 {
		return []unit{c.insert()}
	}
	return []unit{c.query([]string{"commit", "rollback"}[c.random.IntN(2)], "C", "Z")}
}

// batch is one of the extended protocol, with a statement of that name.
func (c *sufferer) batch(name string) unit {
	u := unit{mark: c.mark()}
	if !c.named[name] {
		u.named = name
		u.send, u.shape = append(u.send, parseMsg(name, "insert into disturbed values ($1) returning mark")...), append(u.shape, "1")
	}
	u.send = append(u.send, sequence(bindMsg("", name, u.mark), Msg('D', "P\x00"), executeMsg(""), syncMsg())...)
	u.shape = append(u.shape, "2", "T", "D", "C", "Z")
	u.rows = []string{u.mark}
	return u
}

// copyIn writes three rows.
func (c *sufferer) copyIn() unit {
	u := c.query("copy disturbed from stdin", "G", "C", "Z")
	for i := range 3 {
		row := fmt.Sprintf("%sr%d", u.mark, i)
		u.rows = append(u.rows, row)
		u.send = append(u.send, Msg('d', row+"\n")...)
	}
	u.send = append(u.send, Msg('c', "")...)
	return c.group([]unit{u})[0]
}

// cancelSoon sends a cancel request.
func cancelSoon(addr string, key []byte, after time.Duration) {
	time.Sleep(after)
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write(append([]byte{0, 0, 0, byte(8 + len(key)), 4, 210, 22, 46}, key...))
	io.Copy(io.Discard, conn)
}
