# DBD::Pg: libpq. Prints one JSON line per step.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:async);
use JSON::PP;
use Time::HiRes qw(sleep time);

$| = 1;
my $table = $ENV{COMPAT_TABLE};
my $rows  = join '', map { "$_\trow $_\n" } 0 .. 999;
my $large = 10 << 20;
my $json  = JSON::PP->new->canonical;

sub report {
	my ($step, $status, $detail) = @_;
	$detail //= '';
	$detail =~ s/\s+$//;
	print $json->encode({ step => $step, status => $status, detail => $detail }), "\n";
}

sub connect_db {
	return DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1, PrintWarn => 0 });
}

sub expect {
	my ($got, $want) = @_;
	die 'got ' . substr($got // 'nothing', 0, 100) . ', want ' . substr($want, 0, 100) . "\n" unless defined $got && $got eq $want;
}

sub one { my ($db, $sql, @args) = @_; return ($db->selectrow_array($sql, undef, @args))[0] }

sub fails {
	my ($db, $sql, $code) = @_;
	die "$sql succeeded\n" if eval { $db->do($sql); 1 };
	expect($db->state, $code);
}

my @steps = (
	simple     => sub { expect(one(connect_db(), 'SELECT 1 + 1'), 2); '' },
	parameters => sub { expect(one(connect_db(), 'SELECT ?::int + ?::int', 40, 2), 42); '' },
	prepared   => sub {
		my $db        = connect_db();
		my $statement = $db->prepare('SELECT ?::int * 2', { pg_prepare_now => 1 });
		for my $i (1, 2) {
			$statement->execute($i);
			expect(($statement->fetchrow_array)[0], $i * 2);
		}
		'';
	},
	transaction => sub {
		my $db = connect_db();
		$db->do("DROP TABLE IF EXISTS $table");
		$db->do("CREATE TABLE $table (id int, name text)");
		$db->begin_work;
		$db->do("INSERT INTO $table VALUES (1, 'lost')");
		fails($db, 'SELECT 1/0', '22012');
		fails($db, 'SELECT 1',   '25P02');
		$db->rollback;
		$db->begin_work;
		$db->do("INSERT INTO $table VALUES (2, 'kept')");
		$db->commit;
		expect(one($db, "SELECT string_agg(name, ',') FROM $table"), 'kept');
		'';
	},
	copy_in => sub {
		my $db = connect_db();
		$db->do("TRUNCATE $table");
		$db->do("COPY $table FROM STDIN");
		$db->pg_putcopydata($_) for split /(?<=\n)/, $rows;
		$db->pg_putcopyend;
		expect(one($db, "SELECT count(*) FROM $table"), 1000);
		'';
	},
	copy_out => sub {
		my $db = connect_db();
		$db->do("COPY (SELECT * FROM $table ORDER BY id) TO STDOUT");
		my ($out, $line) = ('', '');
		$out .= $line while $db->pg_getcopydata($line) >= 0;
		expect($out, $rows);
		'';
	},
	large => sub {
		my $value = 'x' x $large;
		expect(one(connect_db(), 'SELECT ?::text', $value), $value);
		'';
	},
	cancel => sub {
		my ($db, $other) = (connect_db(), connect_db());
		$db->do("SELECT pg_sleep(30) /* cancel $table */", { pg_async => PG_ASYNC });
		my $deadline = time + 20;
		until (one($other, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep%$table%' AND pid <> pg_backend_pid()") == 1) {
			die "waited 20 s for the query to run\n" if time > $deadline;
			sleep 0.01;
		}
		expect($db->pg_cancel, 1);
		expect(one($db, 'SELECT 1'), 1);
		'';
	},
	notify => sub {
		my ($db, $other) = (connect_db(), connect_db());
		$db->do("LISTEN compat_$table");
		$other->do("NOTIFY compat_$table, 'hello'");
		my ($deadline, $heard) = (time + 20);
		until ($heard = $db->pg_notifies) {
			die "heard nothing for 20 s\n" if time > $deadline;
			sleep 0.01;
		}
		expect($heard->[2], 'hello');
		'';
	},
	pipeline => undef,
);

print $json->encode({ driver => 'DBD::Pg', version => "$DBD::Pg::VERSION", library => 'libpq' }), "\n";
if ($ENV{COMPAT_REFUSED}) {
	if   (eval { connect_db(); 1 }) { report('refused', 'fail', 'the login succeeded') }
	else                            { report('refused', 'ok', $DBI::errstr) }
	exit;
}
while (my ($name, $step) = splice @steps, 0, 2) {
	if (!$step) { report($name, 'none', 'not in DBD::Pg'); next }
	my $detail = eval { $step->() };
	if   (defined $detail) { report($name, 'ok', $detail) }
	else                   { report($name, 'fail', "$@") }
}
