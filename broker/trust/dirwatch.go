package trust

import (
	"os"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// dirWatch keeps inotify watches on the directories of a configuration. A nil one does nothing.
type dirWatch struct {
	fs      *fsnotify.Watcher
	watched map[string]fileID
}

// newDirWatch returns a watch, its events, and how long to wait between looks at the files beside them: where
// inotify is not available, the watch is nil, there are no events, and the files are looked at every second.
func newDirWatch(poll time.Duration) (*dirWatch, <-chan fsnotify.Event, time.Duration) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, nil, min(poll, time.Second)
	}
	return &dirWatch{fs: fs, watched: map[string]fileID{}}, fs.Events, poll
}

// close ends the watch.
func (d *dirWatch) close() {
	if d != nil {
		d.fs.Close()
	}
}

// follow watches exactly the directories of cfg. A directory that was replaced by another of its
// name (a remount, a new ..data target) is watched anew. One that cannot be watched is left to the
// next look.
func (d *dirWatch) follow(cfg *Config) {
	if d == nil {
		return
	}
	wanted := directories(cfg)
	for dir := range d.watched {
		if !slices.Contains(wanted, dir) {
			d.fs.Remove(dir)
			delete(d.watched, dir)
		}
	}
	active := d.fs.WatchList()
	for _, dir := range wanted {
		fi, err := os.Stat(dir)
		if err != nil {
			continue
		}
		id := fileIDOf(fi, time.Time{})
		old, ok := d.watched[dir]
		if ok && old.dev == id.dev && old.ino == id.ino && slices.Contains(active, dir) {
			continue
		}
		if ok {
			d.fs.Remove(dir)
		}
		delete(d.watched, dir)
		if d.fs.Add(dir) == nil {
			d.watched[dir] = id
		}
	}
}

// errors is the channel of watching errors; nil when nothing is watched.
func (d *dirWatch) errors() <-chan error {
	if d == nil {
		return nil
	}
	return d.fs.Errors
}
