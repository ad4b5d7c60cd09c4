package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pgsignet/pgsignet/broker/admin"
	"github.com/pgsignet/pgsignet/broker/audit"
	"github.com/pgsignet/pgsignet/broker/audit/sink"
	"github.com/pgsignet/pgsignet/broker/config"
)

// sinks copy the record to the other places that the configuration names.
type sinks struct {
	// Fixed by newSinks.
	log   *zap.Logger
	names []string
	list  []*sink.Sink

	stop    context.CancelFunc
	running sync.WaitGroup
}

// lastLines is how long each sink has, at the end, to deliver what is left. What stays behind is
// delivered by the next process.
const lastLines = 5 * time.Second

// newSinks checks the sinks of a configuration. It starts nothing.
func newSinks(cfg *config.Config, trail *audit.Log, log *zap.Logger) (*sinks, error) {
	s := &sinks{log: log, stop: func() {}}
	kinds := make(map[string]int)
	for i := range cfg.Audit.Sinks {
		c := &cfg.Audit.Sinks[i]
		name := c.Kind
		if kinds[c.Kind]++; kinds[c.Kind] > 1 {
			name = fmt.Sprintf("%s-%d", c.Kind, kinds[c.Kind])
		}
		dst, settle, err := destination(c)
		if err != nil {
			return nil, fmt.Errorf("audit sink %s: %w", name, err)
		}
		one, err := sink.New(sink.Config{
			Directory: cfg.Audit.Directory, Name: name, Log: trail, Settle: settle, Report: s.report(name), Differs: s.differs(name),
		}, dst)
		if err != nil {
			return nil, err
		}
		s.names, s.list = append(s.names, name), append(s.list, one)
	}
	return s, nil
}

func destination(c *config.Sink) (sink.Destination, time.Duration, error) {
	if c.Kind == config.SinkSyslog {
		dst, err := sink.NewSyslog(sink.SyslogConfig{Address: c.Address, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile})
		return dst, sink.SyslogSettle, err
	}
	dst, err := sink.NewPostgres(c.DSNFile, c.Table)
	return dst, 0, err
}

// report logs that a sink begins to fail, or works again.
func (s *sinks) report(name string) func(error) {
	return func(err error) {
		if err != nil {
			s.log.Error("audit sink fails", zap.String("sink", name), zap.Error(err))
			return
		}
		s.log.Info("audit sink works again", zap.String("sink", name))
	}
}

// differs logs that a sink had lines that are not the record's.
func (s *sinks) differs(name string) func(*sink.Differing) {
	return func(d *sink.Differing) {
		s.log.Error("audit sink has other lines", zap.String("sink", name), zap.Int("lines", d.Lines),
			zap.String("stream", d.Stream), zap.Int64("seq", d.Seq))
	}
}

// start copies in the background until finish.
func (s *sinks) start() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	for i, one := range s.list {
		s.running.Go(func() {
			if err := one.Run(ctx); err != nil {
				s.log.Error("audit sink ended", zap.String("sink", s.names[i]), zap.Error(err))
			}
		})
	}
}

// finish stops copying and, when the log is closed, delivers its last lines.
func (s *sinks) finish() {
	if s == nil {
		return
	}
	s.stop()
	s.running.Wait()
	var last sync.WaitGroup
	for i, one := range s.list {
		last.Go(func() {
			ctx, stop := context.WithTimeout(context.Background(), lastLines)
			defer stop()
			if err := one.Once(ctx); err != nil {
				s.log.Warn("audit sink has not taken the last lines", zap.String("sink", s.names[i]), zap.Error(err))
			}
		})
	}
	last.Wait()
}

// gauges are the sinks' counters for /metrics.
func (s *sinks) gauges() []admin.SinkGauge {
	var list []admin.SinkGauge
	for i, one := range s.list {
		stats := one.Stats()
		list = append(list, admin.SinkGauge{
			Name: s.names[i], Delivered: stats.Delivered, Failures: stats.Failures,
			Differing: stats.Differing, Healthy: stats.Error == nil,
		})
	}
	return list
}
