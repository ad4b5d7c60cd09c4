package admin

import (
	"strings"

	"github.com/pgsignet/pgsignet/pgwire"
)

// OIDs of the console's types (pg_type.dat).
const (
	typeText    = 25
	typeInt4    = 23
	typeInt8    = 20
	typeNumeric = 1700
)

// columns builds a list from names and their types: s text, i int4, q int8, N numeric.
func columns(names, types string) []pgwire.Column {
	fields := strings.Fields(names)
	list := make([]pgwire.Column, len(fields))
	for i, name := range fields {
		c := pgwire.Column{Name: name, Type: typeText, Size: -1}
		switch types[min(i, len(types)-1)] { // the last type goes on
		case 'i':
			c.Type, c.Size = typeInt4, 4
		case 'q':
			c.Type, c.Size = typeInt8, 8
		case 'N':
			c.Type = typeNumeric
		}
		list[i] = c
	}
	return list
}

// peerNames and peerTypes are those of SHOW CLIENTS and SHOW SERVERS.
const (
	peerNames = "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id"
	peerTypes = "ssssssisissiiississii"
)

// statNames are the statistics without prefix, in the order of STATS_TOTALS.
var statNames = [11]string{
	"server_assignment_count", "xact_count", "query_count", "bytes_received", "bytes_sent",
	"xact_time", "query_time", "wait_time", "client_parse_count", "server_parse_count", "bind_count",
}

// statIn names statistic i in SHOW STATS and in SHOW STATS_AVERAGES, which differ from the totals in
// their own ways.
func statIn(show, prefix string, i int) string {
	name := statNames[i]
	switch {
	case show == "stats" && prefix == "total_" && i == 3:
		return "total_received"
	case show == "stats" && prefix == "total_" && i == 4:
		return "total_sent"
	case show == "stats" && i == 3:
		return "avg_recv"
	case show == "stats" && i == 4:
		return "avg_sent"
	case show == "averages" && i < 8:
		return name
	case show == "totals" && i >= 3 && i <= 4:
		return prefix + [2]string{"client_bytes", "server_bytes"}[i-3]
	case show == "totals" && i >= 8:
		return prefix + "ps_" + name
	}
	return prefix + name
}

func statColumns(show string, prefixes ...string) string {
	words := []string{"database"}
	for _, prefix := range prefixes {
		for i := range statNames {
			words = append(words, statIn(show, prefix, i))
		}
	}
	return strings.Join(words, " ")
}

// shows holds the columns of every SHOW with rows, by name in lower case. Order, names and types are
// PgBouncer 1.25.2's where it has the command.
var shows = map[string][]pgwire.Column{
	"clients":        columns(peerNames, peerTypes),
	"servers":        columns(peerNames, peerTypes),
	"sockets":        columns(peerNames+" recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail", peerTypes),
	"active_sockets": columns(peerNames+" recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail", peerTypes),
	"pools":          columns("database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts", "ssiiiiiiiiiiiiiss"),
	"databases":      columns("name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode load_balance_hosts max_connections current_connections max_client_connections current_client_connections paused disabled", "ssissiiiissiiiiii"),
	"users":          columns("name pool_size reserve_pool_size pool_mode max_user_connections current_connections max_user_client_connections current_client_connections", "ssssiiii"),
	"stats":          columns(statColumns("stats", "total_", "avg_"), "sN"),
	"stats_totals":   columns(statColumns("stats_totals", ""), "sN"),
	"stats_averages": columns(statColumns("averages", "avg_"), "sN"),
	"totals":         columns("name value", "sN"),
	"lists":          columns("list items", "si"),
	"config":         columns("key value default changeable", "s"),
	"state":          columns("key value", "s"),
	"version":        columns("version", "s"),
	"mem":            columns("name size used free memtotal", "si"),
	"peers":          columns("peer_id host port pool_size", "isii"),
	"peer_pools":     columns("peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login", "i"),
	"dns_hosts":      columns("hostname ttl addrs", "sqs"),
	"dns_zones":      columns("zonename serial count", "sqi"),

	"sessions": columns("id sid state pin role database map cert_subject cert_issuer cert_serial cert_sha256 cert_not_after spiffe addr port tls app pool_mode server_pid connect_time request_time statements bytes_in bytes_out",
		"isssssssssssssisssissqqq"),
	"certs": columns("cert_sha256 cert_serial cert_issuer cert_subject spiffe cert_not_after revocation locked sessions refused last_seen", "ssssssssiqs"),
	"maps":  columns("position kind name source match roles databases sessions granted refused last_used", "issssssiqqs"),
	"trust": columns("listener kind subject sha256 number not_before not_after entries status file", "sssssssiss"),
	"locks": columns("kind value issuer reason locked_by locked_at expires_at", "s"),
}

// reported are the parameters that SHOW knows by name.
var reported = map[string]string{
	"client_encoding":               "UTF-8",
	"default_transaction_isolation": "read committed",
	"standard_conforming_strings":   "on",
	"datestyle":                     "ISO",
	"timezone":                      "GMT",
}

// Columns are those that a command answers with; nil: it has no rows.
func (c Command) Columns() []pgwire.Column {
	if c.Verb != "SHOW" {
		return nil
	}
	if _, ok := reported[c.Name]; ok {
		return columns(c.Name, "s")
	}
	return shows[c.Name]
}
