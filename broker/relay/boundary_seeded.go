//go:build seededbug

package relay

// mayChangeHands is the bug that other poolers have shipped: any ReadyForQuery will do.
func mayChangeHands(l *ledger) bool { return l.quiet() }
