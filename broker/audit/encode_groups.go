package audit

// This file writes a record's groups of fields, each an object of its own, in the order of Record; the
// statement's are in encode_stmt.go.

func (e *line) client(c *Client) {
	if c == nil {
		return
	}
	e.open("client")
	e.str("addr", c.Addr)
	e.str("proxy", c.Proxy)
	e.str("listener", c.Listener)
	e.str("tls", c.TLS)
	e.str("cipher", c.Cipher)
	e.str("group", c.Group)
	e.str("alpn", c.ALPN)
	e.str("sni", c.SNI)
	e.yes("direct_tls", c.DirectTLS)
	e.str("protocol", c.Protocol)
	e.str("app", c.App)
	e.close()
}

func (e *line) cert(c *Cert) {
	if c == nil {
		return
	}
	e.open("cert")
	e.str("sha256", c.SHA256)
	e.str("spki_sha256", c.SPKISHA256)
	e.str("root_sha256", c.RootSHA256)
	e.str("serial", c.Serial)
	e.str("issuer", c.Issuer)
	e.str("subject", c.Subject)
	e.str("cn", c.CN)
	e.list("o", c.O)
	e.list("ou", c.OU)
	e.list("email", c.Email)
	e.list("dns", c.DNS)
	e.list("uri", c.URI)
	e.list("ip", c.IP)
	e.str("spiffe", c.SPIFFE)
	if len(c.Ext) > 0 {
		e.pairs("ext", c.Ext, e.lim.list)
	}
	e.when("not_before", c.NotBefore)
	e.when("not_after", c.NotAfter)
	e.str("revocation", c.Revocation)
	e.list("tolerated", c.Tolerated)
	e.close()
}

func (e *line) rule(r *Rule) {
	if r == nil {
		return
	}
	e.open("rule")
	e.str("kind", r.Kind)
	e.str("name", r.Name)
	e.str("file", r.File)
	e.some("line", int64(r.Line))
	e.list("matched", r.Matched)
	e.list("captures", r.Captures)
	e.str("config_sha256", r.ConfigSHA256)
	e.close()
}

func (e *line) shadow(v *Shadow) {
	if v == nil {
		return
	}
	e.open("shadow")
	e.str("verdict", v.Verdict)
	e.list("differs", v.Differs)
	e.str("reason", v.Reason)
	if v.Rule != nil {
		e.str("kind", v.Rule.Kind)
		e.str("name", v.Rule.Name)
		e.str("file", v.Rule.File)
		e.some("line", int64(v.Rule.Line))
		e.str("config_sha256", v.Rule.ConfigSHA256)
	}
	e.str("role", v.Role)
	e.str("database", v.Database)
	e.str("admin", v.Admin)
	e.close()
}

func (e *line) requested(r *Requested) {
	if r == nil {
		return
	}
	e.open("requested")
	e.str("user", r.User)
	e.str("database", r.Database)
	e.pairs("params", r.Params, e.lim.pairs)
	e.close()
}

func (e *line) granted(g *Granted) {
	if g == nil {
		return
	}
	e.open("granted")
	e.str("role", g.Role)
	e.str("database", g.Database)
	e.str("pool_mode", g.PoolMode)
	e.str("level", string(g.Level))
	e.str("admin", g.Admin)
	e.when("expires", g.Expires)
	e.close()
}

func (e *line) upstream(u *Upstream) {
	if u == nil {
		return
	}
	e.open("upstream")
	e.str("name", u.Name)
	e.str("addr", u.Addr)
	e.some("conn", int64(u.Conn))
	e.some("pid", int64(u.PID))
	if u.Name != "" && u.Conn != 0 {
		e.bool("reused", u.Reused)
		e.int("generation", int64(u.Generation))
	}
	e.str("cert_serial", u.CertSerial)
	e.when("cert_not_after", u.CertNotAfter)
	e.close()
}

func (e *line) setup(s *Setup) {
	if s == nil {
		return
	}
	e.open("setup")
	e.us("tls_us", s.TLS)
	e.us("policy_us", s.Policy)
	e.us("queue_us", s.Queue)
	e.some("connect_us", s.Connect.Microseconds())
	e.close()
}

func (e *line) denial(d *Denial) {
	if d == nil {
		return
	}
	e.open("denial")
	e.str("stage", d.Stage)
	e.str("reason", d.Reason)
	e.str("sqlstate", d.SQLState)
	e.str("message", d.Message)
	e.str("detail", d.Detail)
	e.int("count", int64(max(d.Count, 1)))
	e.yes("undecidable", d.Undecidable)
	e.close()
}

func (e *line) copied(c *Copy) {
	if c == nil {
		return
	}
	e.open("copy")
	e.some("stmt", int64(c.Stmt))
	e.str("direction", c.Direction)
	e.str("format", c.Format)
	e.int("columns", int64(c.Columns))
	e.int("rows", c.Rows)
	e.int("bytes", c.Bytes)
	e.str("sqlstate", c.SQLState)
	e.us("exec_us", c.Exec)
	e.close()
}

func (e *line) cancel(c *Cancel) {
	if c == nil {
		return
	}
	e.open("cancel")
	e.str("addr", c.Addr)
	e.str("tls", c.TLS)
	e.str("cert_sha256", c.CertSHA256)
	e.some("stmt", int64(c.Stmt))
	e.some("pid", int64(c.PID))
	e.str("result", c.Result)
	e.close()
}

func (e *line) action(a *Action) {
	if a == nil {
		return
	}
	e.open("action")
	e.str("via", a.Via)
	if a.UID != nil {
		e.int("uid", int64(*a.UID))
	}
	e.str("phase", string(a.Phase))
	e.str("verb", a.Verb)
	e.list("args", a.Args)
	e.str("result", a.Result)
	e.str("error", a.Error)
	e.close()
}

func (e *line) reload(r *Reload) {
	if r == nil {
		return
	}
	e.open("reload")
	e.str("cause", r.Cause)
	e.str("listener", r.Listener)
	e.str("old_sha256", r.OldSHA256)
	e.str("new_sha256", r.NewSHA256)
	e.list("cas", r.CAs)
	e.list("crls", r.CRLs)
	e.str("result", r.Result)
	e.str("error", r.Error)
	e.int("ended", int64(r.Ended))
	e.close()
}

func (e *line) mint(m *Mint) {
	if m == nil {
		return
	}
	e.open("mint")
	e.str("upstream", m.Upstream)
	e.str("role", m.Role)
	e.str("serial", m.Serial)
	e.str("sha256", m.SHA256)
	e.when("not_after", m.NotAfter)
	e.close()
}

func (e *line) end(d *End) {
	if d == nil {
		return
	}
	e.open("end")
	e.str("reason", d.Reason)
	e.str("sqlstate", d.SQLState)
	e.str("message", d.Message)
	e.us("duration_us", d.Duration)
	e.int("statements", d.Statements)
	e.int("errors", d.Errors)
	e.int("cancels", d.Cancels)
	e.int("rows", d.Rows)
	e.int("bytes_in", d.BytesIn)
	e.int("bytes_out", d.BytesOut)
	e.undoes(d.Undoes, d.Perhaps)
	e.close()
}

func (e *line) prunedHead(p *pruned) {
	if p == nil {
		return
	}
	e.open("pruned")
	e.str("stream", p.Stream)
	e.int("seq", p.Seq)
	e.when("time", p.Time)
	e.int("files", int64(p.Files))
	e.str("note", p.Note)
	e.close()
}
