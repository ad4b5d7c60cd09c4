package main

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// auditLook is how often the log learns whether the audit can be written.
const auditLook = time.Second

// watchAudit logs that the audit cannot be written, or can be again, until ctx ends. Where delivery is best_effort
// nobody else would say it before records are lost: sessions go on.
func watchAudit(ctx context.Context, healthy func() error, log *zap.Logger) {
	tick := time.NewTicker(auditLook)
	defer tick.Stop()
	for failing := false; ; {
		switch err := healthy(); {
		case err != nil && !failing:
			log.Error("audit cannot be written", zap.Error(err))
			failing = true
		case err == nil && failing:
			log.Info("audit is written again")
			failing = false
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
