package relay

// Event is something that happened on a server connection and concerns others of its pool.
type Event struct {
	Kind     EventKind
	Database string // of DatabaseGoing: its name on the server
}

// EventKind says what happened.
type EventKind uint8

// Events.
const (
	// DefaultsChanged: ALTER ROLE or DATABASE … SET: only new server connections see it (W54).
	DefaultsChanged EventKind = iota + 1
	// TypesDropped: types may be gone that prepared statements of the database have parameters of (W43).
	TypesDropped
	// PartChanged: the server turned from a standby into a primary or back. It says so with its
	// answer to the next request: idle connections hear nothing (W70).
	PartChanged
	// RefusedWrite: the server refused a write because it is a standby (W70).
	RefusedWrite
	// DatabaseGoing: DROP or RENAME of a database is about to be sent (W98).
	DatabaseGoing
	// BaseChanged: the server reports another default than it did, its configuration was reloaded.
	BaseChanged
	// SettingsRefused: the server has refused settings that it, or another of its pool, once took.
	SettingsRefused
	// NotificationDropped: a notification came for a session that does not listen (W65).
	NotificationDropped
	// Lost: the server has ended the connection, or it cannot be reached any more (W68).
	Lost
)

// notice tells the owner. Called with mu.
func (s *Server) notice(e Event) {
	if s.Noticed != nil {
		s.Noticed(e)
	}
}
