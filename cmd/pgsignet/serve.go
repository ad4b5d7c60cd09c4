package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pgsignet/pgsignet/broker"
	"github.com/pgsignet/pgsignet/broker/config"
)

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: `Serve runs the broker until it is told to stop. SIGTERM and SIGINT stop accepting and
let every session come to its transaction boundary, for at most shutdown.drain_timeout;
a second signal ends them at once. SIGHUP reads the configuration anew; certificates, keys,
CAs and CRLs are also followed as their files change. SIGQUIT writes the stacks of all
goroutines to standard error.

With a runtime_dir, a process that is started while another serves takes over from it: the
listening sockets, the admin console and the locks. The other one lets its sessions go on, for at
most shutdown.upgrade_timeout. SIGUSR2 starts such a process, from the program's file as it is then.

Status 0: stopped as told; 78: the configuration is not valid, nothing was started.`,
		Args: noArgs,
	}
	flags := addConfigFlags(cmd)
	var shadow []string
	cmd.Flags().StringArrayVar(&shadow, "shadow", nil,
		"`PATH` of a second configuration: its rules decide every login, too, and where they differ is recorded; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		load := withShadow(flags.source().Load, shadow)
		cfg, err := loadForServe(load, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return serve(cmd.Context(), cfg, load, cmd.ErrOrStderr(), nil)
	}
	return cmd
}

// loadForServe reads the configuration and prints what is wrong with it. Errors end in status 78.
func loadForServe(load func() (*config.Config, *config.Problems), stderr io.Writer) (*config.Config, error) {
	cfg, problems := load()
	width, color := terminal(stderr)
	if err := problems.WriteText(stderr, width, color); err != nil {
		return nil, err
	}
	if problems.HasErrors() {
		return nil, &exitError{code: exitConfig, err: fmt.Errorf("nothing was started: the configuration has errors")}
	}
	return cfg, nil
}

// serve runs a broker until a signal or ctx stops it. load reads the configuration anew for a reload;
// started, unless nil, is called once clients can connect.
func serve(ctx context.Context, cfg *config.Config, load func() (*config.Config, *config.Problems), stderr io.Writer, started func(*broker.Server)) error {
	p := newProcess(cfg, load, stderr)
	defer p.close()
	if err := p.open(); err != nil {
		return err
	}
	return p.run(ctx, started)
}

// stopSignals returns two contexts: the first ends with SIGTERM, SIGINT or ctx, the second with the
// second signal.
func stopSignals(ctx context.Context, log *zap.Logger) (soft, hard context.Context, stop func()) {
	soft, softly := context.WithCancel(ctx)
	hard, hardly := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		for {
			select {
			case sig := <-signals:
				if soft.Err() != nil {
					log.Warn("stopping at once", zap.Stringer("signal", sig))
					hardly()
					continue
				}
				log.Info("draining", zap.Stringer("signal", sig))
				softly()
			case <-done:
				return
			}
		}
	}()
	return soft, hard, func() {
		signal.Stop(signals)
		close(done)
		<-joined
		softly()
		hardly()
	}
}

// newLogger writes the operations log: JSON lines, or text for people, with times in UTC.
func newLogger(cfg *config.Config, w io.Writer) *zap.Logger {
	level, err := zapcore.ParseLevel(cfg.Log.Level)
	if err != nil {
		level = zapcore.InfoLevel
	}
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if cfg.Log.Format == "console" {
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level), zap.WithClock(utcClock{}))
}

// utcClock gives log lines their time in UTC.
type utcClock struct{}

func (utcClock) Now() time.Time                         { return time.Now().UTC() }
func (utcClock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }
