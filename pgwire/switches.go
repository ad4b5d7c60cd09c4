package pgwire

import (
	"strconv"
	"strings"
)

// Switches of the server process that take an argument, and those that do not: the getopt string
// of process_postgres_switches in PostgreSQL's tcop/postgres.c.
const (
	switchesWithValue = "BCDcdfhkNprStvW-"
	switchesAlone     = "bEeFijlnOPsT"
)

// ParseOptions reads the `options` of a start-up packet as PostgreSQL does (W13): split at
// unescaped spaces, then as switches of the server process. `-c name=value`, `-cname=value` and
// `--name=value` set a parameter, with `-` in its name read as `_`; the old one-letter switches
// set theirs; those a client's session ignores are left out. Values are in order.
//
// The error is an *Error, FATAL 42601.
func ParseOptions(options string) ([]Param, error) {
	args := splitOptions(options)
	var params []Param
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" && i == len(args)-1 {
			break // getopt: the end of switches, and nothing follows
		}
		if len(arg) < 2 || arg[0] != '-' || arg == "--" {
			return nil, errSwitch(arg)
		}
		set, used, err := switchCluster(arg, args[i+1:])
		if err != nil {
			return nil, err
		}
		params = append(params, set...)
		i += used
	}
	return params, nil
}

// splitOptions is pg_split_opts: a backslash makes the next byte part of the argument.
func splitOptions(s string) []string {
	var args []string
	for {
		s = strings.TrimLeft(s, " \t\n\v\f\r")
		if s == "" {
			return args
		}
		var arg []byte
		escaped := false
		i := 0
		for ; i < len(s); i++ {
			c := s[i]
			if !escaped && isSpace(c) {
				break
			}
			if escaped = !escaped && c == '\\'; !escaped {
				arg = append(arg, c)
			}
		}
		args = append(args, string(arg))
		s = s[i:]
	}
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// switchCluster reads one argument of getopt's: letters that stand alone, then at most one whose
// value is the rest of the argument or the whole next one. used is 1 in the latter case.
func switchCluster(arg string, next []string) (params []Param, used int, err error) {
	for i := 1; i < len(arg); i++ {
		letter := arg[i]
		if strings.IndexByte(switchesAlone, letter) >= 0 {
			params = append(params, loneSwitch(letter)...)
			continue
		}
		if strings.IndexByte(switchesWithValue, letter) < 0 {
			return nil, 0, errSwitch(arg)
		}
		value := arg[i+1:]
		if value == "" {
			if len(next) == 0 {
				return nil, 0, errSwitch(arg)
			}
			value, used = next[0], 1
		}
		set, err := valueSwitch(letter, value, arg)
		return append(params, set...), used, err
	}
	return params, 0, nil
}

func errSwitch(arg string) error {
	return protocolError(SyntaxError, "invalid command-line argument for server process: %s", arg)
}

func loneSwitch(letter byte) []Param {
	switch letter {
	case 'e':
		return []Param{{"datestyle", "euro"}}
	case 'F':
		return []Param{{"fsync", "false"}}
	case 'i':
		return []Param{{"listen_addresses", "*"}}
	case 'l':
		return []Param{{"ssl", "true"}}
	case 'O':
		return []Param{{"allow_system_table_mods", "true"}}
	case 'P':
		return []Param{{"ignore_system_indexes", "true"}}
	case 's':
		return []Param{{"log_statement_stats", "true"}}
	}
	return nil // b E j n T: not for a client's session
}

// valueSettings are the switches whose value is that of one parameter.
var valueSettings = map[byte]string{
	'B': "shared_buffers", 'h': "listen_addresses", 'k': "unix_socket_directories",
	'N': "max_connections", 'p': "port", 'S': "work_mem", 'W': "post_auth_delay",
}

func valueSwitch(letter byte, value, arg string) ([]Param, error) {
	if name, ok := valueSettings[letter]; ok {
		return []Param{{name, value}}, nil
	}
	switch letter {
	case 'c', '-':
		return longSwitch(letter, value)
	case 'd':
		return debugSwitch(value), nil
	case 'f':
		return oneOf(planSwitches, value, "false", arg)
	case 't':
		return oneOf(statsSwitches, value, "true", arg)
	}
	return nil, nil // C D r v: not for a client's session
}

func longSwitch(letter byte, value string) ([]Param, error) {
	name, value, ok := strings.Cut(value, "=")
	if !ok && letter == '-' {
		return nil, protocolError(SyntaxError, "--%s requires a value", name)
	}
	if !ok {
		return nil, protocolError(SyntaxError, "-c %s requires a value", name)
	}
	return []Param{{strings.ReplaceAll(name, "-", "_"), value}}, nil
}

// planSwitches are set_plan_disabling_options, statsSwitches get_stats_option_name: only as many
// letters count as stand here.
var (
	planSwitches = map[string]string{
		"s": "enable_seqscan", "i": "enable_indexscan", "o": "enable_indexonlyscan",
		"b": "enable_bitmapscan", "t": "enable_tidscan", "n": "enable_nestloop",
		"m": "enable_mergejoin", "h": "enable_hashjoin",
	}
	statsSwitches = map[string]string{
		"pa": "log_parser_stats", "pl": "log_planner_stats", "e": "log_executor_stats",
	}
)

func oneOf(settings map[string]string, value, to, arg string) ([]Param, error) {
	for letters, name := range settings {
		if strings.HasPrefix(value, letters) {
			return []Param{{name, to}}, nil
		}
	}
	return nil, errSwitch(arg)
}

// debugSwitch is set_debug_options in a session.
func debugSwitch(value string) []Param {
	level := atoi(value)
	if level <= 0 {
		return []Param{{"log_min_messages", "notice"}}
	}
	params := []Param{{"log_min_messages", "debug" + strconv.Itoa(level)}}
	for i, p := range []Param{
		{"log_statement", "all"}, {"debug_print_parse", "true"},
		{"debug_print_plan", "true"}, {"debug_print_rewritten", "true"},
	} {
		if level >= i+2 {
			params = append(params, p)
		}
	}
	return params
}

// atoi is C's: leading spaces, a sign, digits, and whatever follows is ignored.
func atoi(s string) int {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	n := 0
	if n < len(s) && (s[n] == '-' || s[n] == '+') {
		n++
	}
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	value, _ := strconv.ParseInt(s[:n], 10, 32)
	return int(value)
}
