package broker

import (
	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/pool"
	"github.com/pgsignet/pgsignet/policy"
)

// Catalog is the configuration as console and metrics show it. It belongs to a Snapshot.
type Catalog struct {
	Console   string // the name of the console's database
	Databases []CatalogDatabase
	Rules     []policy.Rule // in the files' order
	Settings  []admin.Setting
}

// CatalogDatabase is a `database` block.
type CatalogDatabase struct {
	Name     string // "*": every other name
	Upstream string
	DBName   string // on the server; "" for "*"
	Hosts    []string
}

// anyDatabase stands for the names that a `database "*"` passes through.
const anyDatabase = "*"

// database finds a database by the name that clients use. A name that "*" passes through is one, too.
func (c *Catalog) database(name string) (CatalogDatabase, bool) {
	for _, d := range c.Databases {
		if d.Name == name && name != anyDatabase {
			return d, true
		}
	}
	for _, d := range c.Databases {
		if d.Name == anyDatabase && name != anyDatabase && name != "" {
			return CatalogDatabase{Name: name, Upstream: d.Upstream, DBName: name, Hosts: d.Hosts}, true
		}
	}
	return CatalogDatabase{}, false
}

// nameOf is the name that clients use for the database of a pool; configured is false for one that
// "*" passed through.
func (c *Catalog) nameOf(key pool.Key) (name string, configured bool) {
	for _, d := range c.Databases {
		if d.Name != anyDatabase && d.Upstream == key.Upstream && d.DBName == key.Database {
			return d.Name, true
		}
	}
	return key.Database, false
}

// label is nameOf for a metric: all that "*" passes through is one.
func (c *Catalog) label(key pool.Key) string {
	if name, configured := c.nameOf(key); configured {
		return name
	}
	return anyDatabase
}

// isConsole says whether a name is the console's: its own, or PgBouncer's, which is always one.
func (c *Catalog) isConsole(name string) bool { return name == c.Console || name == "pgbouncer" }

func (c *Catalog) has(name string) bool {
	for _, d := range c.Databases {
		if d.Name == name {
			return true
		}
	}
	return false
}
