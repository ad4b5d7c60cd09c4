package compat

import (
	"path/filepath"
)

// Driver is a program that takes one driver through the steps.
type Driver struct {
	Key      string   // its table's name is made of it
	Name     string   // for people
	Packages []string // Debian packages it needs
	Needs    []string // files, as filepath.Glob patterns, that prove it is installed
	Build    func(*Place) ([]string, error)
	Env      []string

	// ModernOnly says that Env holds for the broker and PostgreSQL 18 alone, as with TLS from the first
	// byte and protocol 3.2.
	ModernOnly bool

	// Application says that it is no driver but what stands on one: an ORM, a framework. It goes through AppSteps.
	Application bool

	// Picky says that it sends a certificate only to a server that names the CA which issued it.
	Picky bool
}

// Steps are what every driver does, in this order.
var Steps = []string{"simple", "parameters", "prepared", "transaction", "copy_in", "copy_out", "large", "cancel", "notify", "pipeline"}

// AppSteps are what every application does, in this order.
var AppSteps = []string{"migrate", "reflect", "objects", "savepoint", "row_locks", "cursor", "together"}

// Steps are the steps that it goes through.
func (d *Driver) Steps() []string {
	if d.Application {
		return AppSteps
	}
	return Steps
}

// psqlProgram is psql itself, not Debian's wrapper that looks for clusters.
const psqlProgram = "/usr/lib/postgresql/15/bin/psql"

// pgjdbcJar is where Debian puts the driver.
const pgjdbcJar = "/usr/share/java/postgresql.jar"

// script is a command line that needs nothing built.
func script(program, name string) func(*Place) ([]string, error) {
	return func(p *Place) ([]string, error) {
		return []string{program, filepath.Join(p.Source, "scripts", name)}, nil
	}
}

// python is Debian's, which has Debian's drivers; another may come first on PATH.
const python = "/usr/bin/python3"

// Drivers are those of docs/compatibility.md, in its order.
func Drivers() []Driver {
	return []Driver{
		{
			Key: "psql", Name: "psql", Packages: []string{"postgresql-client-15"}, Needs: []string{psqlProgram},
			Build: script("/bin/sh", "psql.sh"), Env: []string{"COMPAT_PSQL=" + psqlProgram, "COMPAT_LIBRARY=libpq 15"},
		},
		{
			Key: "libpq18", Name: "psql with libpq 18, direct TLS, protocol 3.2", Packages: []string{"postgresql-client-15"},
			Needs: []string{psqlProgram}, Build: libpq18(script("/bin/sh", "psql.sh")), ModernOnly: true,
			Env: []string{"COMPAT_PSQL=" + psqlProgram, "COMPAT_LIBRARY=libpq 18", "PGSSLNEGOTIATION=direct", "PGMINPROTOCOLVERSION=3.2", "PGMAXPROTOCOLVERSION=3.2"},
		},
		{Key: "pgx", Name: "pgx", Picky: true, Build: goProgram("pgx")},
		{Key: "libpq_go", Name: "lib/pq", Build: goProgram("libpq")},
		{
			Key: "psycopg2", Name: "psycopg2", Packages: []string{"python3-psycopg2"},
			Needs: []string{"/usr/lib/python3/dist-packages/psycopg2"}, Build: script(python, "psycopg2_driver.py"),
		},
		{
			Key: "psycopg3", Name: "psycopg 3", Packages: []string{"python3-psycopg"},
			Needs: []string{"/usr/lib/python3/dist-packages/psycopg"}, Build: script(python, "psycopg3_driver.py"),
		},
		{
			Key: "psycopg3_18", Name: "psycopg 3 with libpq 18, direct TLS, protocol 3.2", Packages: []string{"python3-psycopg"},
			Needs: []string{"/usr/lib/python3/dist-packages/psycopg"}, Build: libpq18(script(python, "psycopg3_driver.py")), ModernOnly: true,
			Env: []string{"PGSSLNEGOTIATION=direct", "PGMINPROTOCOLVERSION=3.2", "PGMAXPROTOCOLVERSION=3.2"},
		},
		{
			Key: "asyncpg", Name: "asyncpg", Packages: []string{"python3-asyncpg"},
			Needs: []string{"/usr/lib/python3/dist-packages/asyncpg"}, Build: script(python, "asyncpg_driver.py"),
		},
		{
			Key: "pgjdbc", Name: "pgjdbc", Picky: true, Packages: []string{"libpostgresql-jdbc-java", "default-jdk-headless"},
			Needs: []string{pgjdbcJar}, Build: javaProgram("Jdbc.java", pgjdbcJar),
		},
		{Key: "node_pg", Name: "node-postgres", Build: nodeProgram("pg.js")},
		{Key: "postgres_js", Name: "postgres.js", Build: nodeProgram("postgres.js")},
		{
			Key: "ruby_pg", Name: "ruby-pg", Packages: []string{"ruby-pg"}, Needs: []string{"/usr/lib/ruby/vendor_ruby/pg.rb"},
			Build: script("/usr/bin/ruby", "ruby_driver.rb"),
		},
		{
			Key: "dbd_pg", Name: "DBD::Pg", Packages: []string{"libdbd-pg-perl"}, Needs: []string{"/usr/lib/*/perl5/*/DBD/Pg.pm"},
			Build: script("/usr/bin/perl", "dbd_driver.pl"),
		},
		{
			Key: "php", Name: "PHP pgsql", Packages: []string{"php-cli", "php-pgsql"},
			Needs: []string{"/etc/php/*/cli/conf.d/*-pgsql.ini"}, Build: script("/usr/bin/php", "php_driver.php"),
		},
		{
			Key: "odbc", Name: "psqlodbc", Packages: []string{"odbc-postgresql", "unixodbc", "python3-pyodbc"},
			Needs: []string{"/usr/lib/*/odbc/psqlodbcw.so", "/usr/lib/python3/dist-packages/pyodbc*"}, Build: script(python, "odbc_driver.py"),
		},
	}
}
