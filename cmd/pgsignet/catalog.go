package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/config"
)

// catalog is the configuration as console and metrics show it.
func catalog(cfg *config.Config) broker.Catalog {
	c := broker.Catalog{Console: cfg.Admin.Database, Rules: cfg.Rules, Settings: settings(cfg)}
	hosts := make(map[string][]string)
	for _, u := range cfg.Upstreams {
		hosts[u.Name] = u.Hosts
	}
	for _, d := range cfg.Databases {
		c.Databases = append(c.Databases, broker.CatalogDatabase{
			Name: d.Name, Upstream: d.Upstream, DBName: d.DBName, Hosts: hosts[d.Upstream],
		})
	}
	return c
}

// settings are the lines of SHOW CONFIG: PgBouncer's names where it has one, else those of the file.
func settings(cfg *config.Config) []admin.Setting {
	var s settingList
	clients := 0
	for _, l := range cfg.Listeners {
		clients += l.MaxClients
		s.listener(&l)
	}
	s.fixed("max_client_conn", strconv.Itoa(clients), "10000")
	s.fixed("max_user_connections", "0", "0") // limits are per map and identity
	s.fixed("max_db_connections", "0", "0")
	s = append(s, admin.Setting{Key: "conffile", Value: strings.Join(cfg.Files, ","), Default: defaultConfig, Changeable: true})
	s.fixed("node", cfg.Node, "")
	s.fixed("runtime_dir", cfg.RuntimeDir, "")
	if len(cfg.Listeners) > 0 {
		host, port, _ := net.SplitHostPort(cfg.Listeners[0].Address)
		s.fixed("listen_addr", host, "")
		s.fixed("listen_port", port, "6432")
	}
	for _, u := range cfg.Upstreams {
		s.upstream(&u)
	}
	s.fixed("admin.address", cfg.Admin.Address, "127.0.0.1:9432")
	s.fixed("admin.database", cfg.Admin.Database, "pgsignet")
	s.fixed("admin.locks_file", cfg.Admin.LocksFile, "")
	s.fixed("admin.socket", cfg.Admin.Socket, "")
	s.fixed("audit.delivery", cfg.Audit.Delivery, "best_effort")
	s.fixed("audit.directory", cfg.Audit.Directory, "")
	s.fixed("audit.level", cfg.Audit.Level, "statement")
	s.fixed("log.level", cfg.Log.Level, "info")
	s.fixed("shutdown.drain_timeout", cfg.Shutdown.DrainTimeout.String(), "30s")
	s.fixed("shutdown.upgrade_timeout", cfg.Shutdown.UpgradeTimeout.String(), "10m0s")
	return s
}

type settingList []admin.Setting

// inForce are the settings of a reload: those that only a start takes up are what the process began with.
func inForce(began, next []admin.Setting) []admin.Setting {
	was := make(map[string]admin.Setting)
	for _, s := range began {
		was[s.Key] = s
	}
	for i, s := range next {
		if old, ok := was[s.Key]; ok && !s.Changeable {
			next[i] = old
		}
	}
	return next
}

func (s *settingList) fixed(key, value, otherwise string) {
	*s = append(*s, admin.Setting{Key: key, Value: value, Default: otherwise})
}

func (s *settingList) listener(l *config.Listener) {
	at := "listener." + l.Name + "."
	s.fixed(at+"address", l.Address, "")
	s.fixed(at+"max_clients", strconv.Itoa(l.MaxClients), "10000")
	s.fixed(at+"half_open", strconv.Itoa(l.HalfOpen), "1000")
	s.fixed(at+"half_open_per_address", strconv.Itoa(l.HalfOpenPerAddress), "100")
	s.fixed(at+"handshake_timeout", l.HandshakeTimeout.String(), "10s")
	s.fixed(at+"admin", strconv.FormatBool(l.Admin), "false")
}

func (s *settingList) upstream(u *config.Upstream) {
	at := "upstream." + u.Name + "."
	live := func(key, value, otherwise string) {
		*s = append(*s, admin.Setting{Key: at + key, Value: value, Default: otherwise, Changeable: true})
	}
	live("hosts", strings.Join(u.Hosts, ","), "")
	live("target", u.Target, "any")
	live("max_connections", strconv.Itoa(u.MaxConnections), "60")
	live("pool.mode", u.Pool.Mode, "session")
	live("pool.share", u.Pool.Share, "map")
	live("pool.size", strconv.Itoa(u.Pool.Size), "20")
	live("pool.min_idle", strconv.Itoa(u.Pool.MinIdle), "0")
	live("pool.max_pinned", strconv.Itoa(u.Pool.MaxPinned), "10")
	live("pool.wait_timeout", fmt.Sprint(u.Pool.WaitTimeout), "30s")
	live("pool.max_lifetime", fmt.Sprint(u.Pool.MaxLifetime), "1h0m0s")
	live("pool.idle_timeout", fmt.Sprint(u.Pool.IdleTimeout), "10m0s")
}
