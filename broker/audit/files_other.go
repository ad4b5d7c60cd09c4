//go:build !linux

package audit

import "os"

// datasync is a full fsync where fdatasync is not to be had.
func datasync(f *os.File) error { return f.Sync() }
