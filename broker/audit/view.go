package audit

// view is what search and report look at in a line. Its slices point into the line: strings as they
// stand there, escapes and all.
type view struct {
	head

	sid, cert, rule, role, database []byte
	client, serial, cn, spiffe      []byte
	subject, user                   []byte
	email                           [][]byte

	id, phase, op        []byte
	text, textB64        []byte
	sqlstate, message    []byte
	reason, verb, result []byte
	cause                []byte
	rows, rowsOut, exec  int64
	count                int64
	tx                   []byte
	undoes, mayUndo      int64
	undone               bool
	duration             int64
	statements, failed   int64
	serverSerial         []byte

	left []byte // of the line, not looked at yet: its groups, after skim
}

// read fills v from a line whose head was parsed.
func (v *view) read(h head) {
	v.skim(h)
	v.finish()
}

// skim is read of what stands before the first group: all that a statement's line says of its session.
// finish reads the rest.
func (v *view) skim(h head) {
	*v = view{head: h, email: v.email[:0]}
	v.left = fieldsOf(h.rest, v.setTop)
}

func (v *view) finish() {
	if v.left != nil {
		visit(v.left, v.set)
		v.left = nil
	}
}

// set takes one field.
func (v *view) set(group, key, raw []byte) {
	switch string(group) {
	case "":
		v.setTop(key, raw)
	case "stmt":
		v.setStmt(key, raw)
	case "cert":
		v.setCert(key, raw)
	case "end":
		v.setEnd(key, raw)
	default:
		v.setOther(group, key, raw)
	}
}

func (v *view) setTop(key, raw []byte) {
	switch string(key) {
	case "sid":
		v.sid = raw
	case "cert_sha256":
		v.cert = raw
	case "map":
		v.rule = raw
	case "role":
		v.role = raw
	case "database":
		v.database = raw
	}
}

func (v *view) setStmt(key, raw []byte) {
	switch string(key) {
	case "id":
		v.id = raw
	case "phase":
		v.phase = raw
	case "op":
		v.op = raw
	case "text":
		v.text = raw
	case "text_b64":
		v.textB64 = raw
	case "sqlstate":
		v.sqlstate = raw
	case "message":
		v.message = raw
	case "rows":
		v.rows = number(raw)
	case "rows_out":
		v.rowsOut = number(raw)
	case "exec_us":
		v.exec = number(raw)
	case "tx":
		v.tx = raw
	case "undone":
		v.undone = true
	case "undoes":
		v.undoes = number(raw)
	case "may_undo":
		v.mayUndo = number(raw)
	}
}

func (v *view) setCert(key, raw []byte) {
	switch string(key) {
	case "sha256":
		v.cert = raw
	case "serial":
		v.serial = raw
	case "subject":
		v.subject = raw
	case "cn":
		v.cn = raw
	case "email":
		v.email = append(v.email, raw)
	case "spiffe":
		v.spiffe = raw
	}
}

func (v *view) setEnd(key, raw []byte) {
	switch string(key) {
	case "reason":
		v.reason = raw
	case "sqlstate":
		v.sqlstate = raw
	case "message":
		v.message = raw
	case "duration_us":
		v.duration = number(raw)
	case "statements":
		v.statements = number(raw)
	case "errors":
		v.failed = number(raw)
	case "rows":
		v.rows = number(raw)
	case "undoes":
		v.undoes = number(raw)
	case "may_undo":
		v.mayUndo = number(raw)
	}
}

func (v *view) setOther(group, key, raw []byte) {
	switch string(group) + "." + string(key) {
	case "client.addr", "cancel.addr":
		v.client = raw
	case "rule.name":
		v.rule = raw
	case "requested.user":
		v.user = raw
	case "requested.database", "granted.database": // granted stands behind requested, and wins
		v.database = raw
	case "granted.role", "mint.role":
		v.role = raw
	case "denial.reason":
		v.reason = raw
	case "denial.sqlstate", "copy.sqlstate":
		v.sqlstate = raw
	case "denial.message", "action.error", "reload.error":
		v.message = raw
	case "denial.count":
		v.count = number(raw)
	case "copy.stmt", "cancel.stmt":
		v.id = raw
	case "copy.rows":
		v.rows = number(raw)
	case "copy.direction":
		v.op = raw
	case "cancel.cert_sha256":
		v.cert = raw
	case "cancel.result", "action.result", "reload.result":
		v.result = raw
	case "action.verb":
		v.verb = raw
	case "reload.cause", "checkpoint.cause":
		v.cause = raw
	case "mint.serial":
		v.serverSerial = raw
	}
}
