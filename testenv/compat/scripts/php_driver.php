<?php
// PHP's pgsql extension: libpq. Prints one JSON line per step.

$table = getenv('COMPAT_TABLE');
const LARGE = 10 << 20;
$rows = [];
for ($i = 0; $i < 1000; $i++) {
    $rows[] = "$i\trow $i\n";
}
ini_set('memory_limit', '512M');
set_error_handler(function (int $_level, string $message) {
    throw new ErrorException($message);
});

class NotThere extends Exception {}

function report(string $step, string $status, string $detail): void
{
    echo json_encode(['step' => $step, 'status' => $status, 'detail' => trim($detail)]), "\n";
}

function connect(): PgSql\Connection
{
    return pg_connect('', PGSQL_CONNECT_FORCE_NEW);
}

function expect(mixed $got, mixed $want): void
{
    if ($got !== $want) {
        throw new Exception('got ' . substr(var_export($got, true), 0, 100) . ', want ' . substr(var_export($want, true), 0, 100));
    }
}

function one(PgSql\Connection $c, string $sql, array $args = []): ?string
{
    return pg_fetch_result($args ? pg_query_params($c, $sql, $args) : pg_query($c, $sql), 0, 0);
}

function fails(PgSql\Connection $c, string $sql, string $code): void
{
    pg_send_query($c, $sql);
    expect(pg_result_error_field(pg_get_result($c), PGSQL_DIAG_SQLSTATE), $code);
    while (pg_get_result($c)) {
    }
}

function until(callable $ok, string $what): void
{
    for ($end = microtime(true) + 20; !$ok(); usleep(10000)) {
        if (microtime(true) > $end) {
            throw new Exception("waited 20 s for $what");
        }
    }
}

$steps = [
    'simple' => fn() => expect(one(connect(), 'SELECT 1 + 1'), '2'),
    'parameters' => fn() => expect(one(connect(), 'SELECT $1::int + $2::int', [40, 2]), '42'),
    'prepared' => function () {
        $c = connect();
        pg_prepare($c, 'compat', 'SELECT $1::int * 2');
        foreach ([1, 2] as $i) {
            expect(pg_fetch_result(pg_execute($c, 'compat', [$i]), 0, 0), (string) ($i * 2));
        }
    },
    'transaction' => function () use ($table) {
        $c = connect();
        pg_query($c, 'SET client_min_messages = warning');
        pg_query($c, "DROP TABLE IF EXISTS $table");
        pg_query($c, "CREATE TABLE $table (id int, name text)");
        pg_query($c, 'BEGIN');
        pg_query($c, "INSERT INTO $table VALUES (1, 'lost')");
        fails($c, 'SELECT 1/0', '22012');
        fails($c, 'SELECT 1', '25P02');
        pg_query($c, 'ROLLBACK');
        pg_query($c, "BEGIN; INSERT INTO $table VALUES (2, 'kept'); COMMIT");
        expect(one($c, "SELECT string_agg(name, ',') FROM $table"), 'kept');
    },
    'copy_in' => function () use ($table, $rows) {
        $c = connect();
        pg_query($c, "TRUNCATE $table");
        expect(pg_copy_from($c, $table, $rows), true);
        expect(one($c, "SELECT count(*) FROM $table"), '1000');
    },
    'copy_out' => function () use ($table, $rows) {
        expect(pg_copy_to(connect(), $table), $rows);
    },
    'large' => function () {
        $value = str_repeat('x', LARGE);
        expect(one(connect(), 'SELECT $1::text', [$value]), $value);
    },
    'cancel' => function () use ($table) {
        $c = connect();
        $other = connect();
        pg_send_query($c, "SELECT pg_sleep(30) /* cancel $table */");
        until(fn() => one($other, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep%$table%' AND pid <> pg_backend_pid()") === '1', 'the query to run');
        expect(pg_cancel_query($c), true);
        expect(one($c, 'SELECT 1'), '1');
        expect(one($other, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep%$table%' AND pid <> pg_backend_pid()"), '0');
    },
    'notify' => function () use ($table) {
        $c = connect();
        pg_query($c, "LISTEN compat_$table");
        pg_query(connect(), "NOTIFY compat_$table, 'hello'");
        $heard = false;
        until(function () use ($c, &$heard) {
            return $heard = pg_get_notify($c, PGSQL_ASSOC);
        }, 'the notification');
        expect($heard['payload'], 'hello');
    },
    'pipeline' => fn() => throw new NotThere("not in PHP's pgsql before 8.4"),
];

echo json_encode(['driver' => 'PHP pgsql', 'version' => PHP_VERSION, 'library' => 'libpq ' . (defined('PGSQL_LIBPQ_VERSION') ? PGSQL_LIBPQ_VERSION : '')]), "\n";
if (getenv('COMPAT_REFUSED')) {
    try {
        connect();
        report('refused', 'fail', 'the login succeeded');
    } catch (Throwable $e) {
        report('refused', 'ok', $e->getMessage());
    }
    exit;
}
foreach ($steps as $name => $step) {
    try {
        $step();
        report($name, 'ok', '');
    } catch (NotThere $e) {
        report($name, 'none', $e->getMessage());
    } catch (Throwable $e) {
        report($name, 'fail', get_class($e) . ': ' . $e->getMessage());
    }
}
