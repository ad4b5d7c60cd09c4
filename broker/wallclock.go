package broker

import "time"

const (
	// clockJump is how far the wall clock may go off the monotonic one at once and be believed.
	clockJump = time.Hour
	// clockProof is how long a jump must hold before live sessions follow it.
	clockProof = time.Minute
)

// steadyClock is the wall clock as live sessions follow it: a jump of more than an hour against the
// monotonic clock is believed when it has held for a minute (T68). Logins use the wall clock itself.
// Not safe for concurrent use.
type steadyClock struct {
	read func() (wall time.Time, mono time.Duration)

	wall time.Time // the last pair that was believed
	mono time.Duration

	doubting bool
	since    time.Duration // monotonic; of the jump that is doubted
	offset   time.Duration // that jump
}

func newSteadyClock(read func() (time.Time, time.Duration)) *steadyClock {
	c := &steadyClock{read: read}
	c.wall, c.mono = read()
	return c
}

// now is the time by which live sessions are judged. It must be called several times a minute.
func (c *steadyClock) now() time.Time {
	wall, mono := c.read()
	expected := c.wall.Add(mono - c.mono)
	offset := wall.Sub(expected)
	switch {
	case offset.Abs() <= clockJump:
		c.believe(wall, mono)
		return wall
	case !c.doubting || (offset-c.offset).Abs() > clockJump:
		c.doubting, c.since, c.offset = true, mono, offset
	case mono-c.since >= clockProof:
		c.believe(wall, mono)
		return wall
	}
	return expected
}

func (c *steadyClock) believe(wall time.Time, mono time.Duration) {
	c.wall, c.mono, c.doubting = wall, mono, false
}
