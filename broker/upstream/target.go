package upstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsignet/pgsignet/pgwire"
)

// Values of Config.Target, as libpq's target_session_attrs.
const (
	TargetAny           = "any"
	TargetReadWrite     = "read-write"
	TargetReadOnly      = "read-only"
	TargetPrimary       = "primary"
	TargetStandby       = "standby"
	TargetPreferStandby = "prefer-standby"
)

// serverState is what targets tell servers apart by.
type serverState struct {
	standby  bool // in recovery
	readOnly bool // a new transaction would be: on a standby, or by setting
}

func (s serverState) String() string {
	switch {
	case s.standby:
		return "a standby"
	case s.readOnly:
		return "a read-only primary"
	}
	return "a primary"
}

// fitness of a server for a target. The zero value is no.
type fitness int

const (
	unfit    fitness = iota
	fallback         // when no other fits
	fits
)

// fitnessOf returns the rule of a target.
func fitnessOf(target string) (func(serverState) fitness, error) {
	when := func(ok func(serverState) bool, otherwise fitness) func(serverState) fitness {
		return func(s serverState) fitness {
			if ok(s) {
				return fits
			}
			return otherwise
		}
	}
	switch target {
	case TargetAny:
		return when(func(serverState) bool { return true }, unfit), nil
	case TargetReadWrite:
		return when(func(s serverState) bool { return !s.readOnly }, unfit), nil
	case TargetReadOnly:
		return when(func(s serverState) bool { return s.readOnly }, unfit), nil
	case TargetPrimary:
		return when(func(s serverState) bool { return !s.standby }, unfit), nil
	case TargetStandby:
		return when(func(s serverState) bool { return s.standby }, unfit), nil
	case TargetPreferStandby:
		return when(func(s serverState) bool { return s.standby }, fallback), nil
	}
	return nil, fmt.Errorf("unknown target %q", target)
}

// TakesStandby reports that the target may be a standby: a write that one refuses is its client's
// mistake then, not a sign of a failover.
func (u *Upstream) TakesStandby() bool {
	return u.fitness(serverState{standby: true, readOnly: true}) != unfit
}

// misfit is the error of a server that is up but not what the target asks for. Its SQLSTATE makes
// waiters wait: during a failover the fitting server is about to come.
func misfit(addr, target string, state serverState) *LoginError {
	e := newError(pgwire.CannotConnectNow, ReasonTarget, "no database server of the wanted kind is available",
		fmt.Errorf("%v, target is %s", state, target))
	e.addr = addr
	return e
}

// stateQuery is for servers that do not report their state (before PostgreSQL 14, some proxies).
const stateQuery = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')"

// observe finds out the state of a server just logged in to. PostgreSQL 14 and later report it;
// others are asked, if the target needs to know.
func observe(ctx context.Context, pg *pgconn.PgConn, target string, l Login) (serverState, error) {
	recovery := pg.ParameterStatus("in_hot_standby")
	switch {
	case recovery != "":
		standby := recovery == "on"
		readOnly := pg.ParameterStatus("default_transaction_read_only") == "on"
		return serverState{standby: standby, readOnly: standby || readOnly}, nil
	case target == TargetAny:
		return serverState{}, nil
	case l.physical():
		return serverState{}, protocolError(errors.New("the server does not report in_hot_standby"))
	}
	row, err := queryRow(ctx, pg, stateQuery, 2)
	if err != nil {
		return serverState{}, err
	}
	return serverState{standby: row[0] == "t", readOnly: row[0] == "t" || row[1] == "on"}, nil
}
