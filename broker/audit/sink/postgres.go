package sink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsignet/pgsignet/broker/audit"
)

// Postgres copies lines into a table, a batch in one transaction. A line that is there already is left
// as it is, so that repeating a batch changes nothing; one that is there otherwise is told of.
type Postgres struct {
	dsnFile string
	table   pgx.Identifier
	conn    *pgx.Conn
}

// NewPostgres takes a file with a DSN or URL, read at each connection so that a password can change, and
// the name of a table, with its schema if need be. The table is made when it is not there.
func NewPostgres(dsnFile, table string) (*Postgres, error) {
	if dsnFile == "" || table == "" {
		return nil, errors.New("a PostgreSQL sink needs a file with a DSN and a table")
	}
	return &Postgres{dsnFile: dsnFile, table: strings.SplitN(table, ".", 2)}, nil
}

// tableDDL is the sink's table. The line is text, byte for byte: jsonb would refuse the NUL that a
// certificate may hold, and reorder what the chain covers.
const tableDDL = `CREATE TABLE %s (
	stream      text        NOT NULL,
	seq         bigint      NOT NULL,
	time        timestamptz NOT NULL,
	event       text        NOT NULL,
	sid         text,
	cert_sha256 text,
	map         text,
	role        text,
	database    text,
	client      text,
	sqlstate    text,
	line        text        NOT NULL,
	PRIMARY KEY (stream, seq)
)`

// columns are those of tableDDL.
var columns = []string{"stream", "seq", "time", "event", "sid", "cert_sha256", "map", "role", "database", "client", "sqlstate", "line"}

// Deliver is Destination's.
func (p *Postgres) Deliver(ctx context.Context, lines []Line) error {
	if p.conn == nil || p.conn.IsClosed() {
		if err := p.connect(ctx); err != nil {
			return err
		}
	}
	var differing *Differing
	err := pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
		into := p.table.Sanitize()
		if _, err := tx.Exec(ctx, "CREATE TEMP TABLE pgsignet_batch ON COMMIT DROP AS SELECT * FROM "+into+" WITH NO DATA"); err != nil {
			return err
		}
		rows := pgx.CopyFromSlice(len(lines), func(i int) ([]any, error) { return row(&lines[i]), nil })
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pgsignet_batch"}, columns, rows); err != nil {
			return err
		}
		names := strings.Join(columns, ", ")
		tag, err := tx.Exec(ctx, "INSERT INTO "+into+" ("+names+") SELECT "+names+" FROM pgsignet_batch ON CONFLICT (stream, seq) DO NOTHING")
		if err == nil && tag.RowsAffected() < int64(len(lines)) {
			differing, err = p.differing(ctx, tx)
		}
		return err
	})
	if err == nil && differing != nil {
		return differing
	}
	return err
}

// differing looks for rows that were there before the batch and are not as it has them; nil: none.
func (p *Postgres) differing(ctx context.Context, tx pgx.Tx) (*Differing, error) {
	var d Differing
	err := tx.QueryRow(ctx, `SELECT count(*) OVER (), b.stream, b.seq FROM pgsignet_batch b JOIN `+p.table.Sanitize()+` t USING (stream, seq)
		WHERE (t.`+strings.Join(columns, ", t.")+`) IS DISTINCT FROM (b.`+strings.Join(columns, ", b.")+`)
		ORDER BY b.stream, b.seq LIMIT 1`).Scan(&d.Lines, &d.Stream, &d.Seq)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &d, nil
}

// Check is Destination's: a batch was committed, or Deliver has said that it was not.
func (*Postgres) Check() error { return nil }

// connect opens the connection and looks for the table.
func (p *Postgres) connect(ctx context.Context) error {
	dsn, err := audit.ReadSecret(p.dsnFile)
	if err != nil {
		return fmt.Errorf("dsn_file: %w", err)
	}
	cfg, err := pgx.ParseConfig(strings.TrimSpace(dsn))
	if err != nil {
		// Without the cause, which quotes the DSN and does not find each password in it.
		return fmt.Errorf("dsn_file %s: it holds no DSN or URL that can be read", p.dsnFile)
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "pgsignet audit"
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	if err := p.prepare(ctx, conn); err != nil {
		conn.Close(ctx)
		return err
	}
	p.conn = conn
	return nil
}

// prepare makes the table when it is not there.
func (p *Postgres) prepare(ctx context.Context, conn *pgx.Conn) error {
	var encoding string
	var there bool
	err := conn.QueryRow(ctx, "SELECT current_setting('server_encoding'), to_regclass($1) IS NOT NULL", p.table.Sanitize()).Scan(&encoding, &there)
	if err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s: the record needs UTF8", encoding)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf(tableDDL, p.table.Sanitize())); err != nil {
		return fmt.Errorf("create table %s: %w", p.table.Sanitize(), err)
	}
	return nil
}

// Close is Destination's.
func (p *Postgres) Close() error {
	if p.conn == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	err := p.conn.Close(ctx)
	p.conn = nil
	return err
}

// row is a line as the table has it.
func row(l *Line) []any {
	r, _ := audit.ParseRow(l.Text)
	return []any{
		clean(l.Stream), l.Seq, l.Time, clean(l.Event), column(r.SID), column(r.Cert), column(r.Map), column(r.Role),
		column(r.Database), column(r.Client), column(r.SQLState), clean(string(l.Text)), // a line is UTF-8 without NUL, unless somebody has changed it
	}
}

// column is s as a text column can hold it: NULL when empty, without NUL.
func column(s string) any {
	if s == "" {
		return nil
	}
	return clean(s)
}

// clean is s as UTF-8 without NUL, which no text of PostgreSQL's may hold.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
