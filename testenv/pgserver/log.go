package pgserver

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// LogSize is the length of the server's log, a mark for LogFrom and WaitLog.
func (s *Server) LogSize() int64 {
	info, err := os.Stat(s.logFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// LogFrom returns the log behind a mark; 0 means all of it.
func (s *Server) LogFrom(mark int64) (string, error) {
	data, err := os.ReadFile(s.logFile())
	if err != nil {
		return "", err
	}
	return string(data[min(mark, int64(len(data))):]), nil
}

func (s *Server) logFrom(mark int64) string {
	text, err := s.LogFrom(mark)
	if err != nil {
		return err.Error()
	}
	return text
}

// logTail is what an error shows of the log.
func (s *Server) logTail() string {
	const most = 4 << 10
	text := s.logFrom(0)
	return text[max(0, len(text)-most):]
}

// WaitLog waits until a line behind the mark fits the expression and returns that line. Its error
// holds the log behind the mark.
func (s *Server) WaitLog(ctx context.Context, mark int64, line *regexp.Regexp) (string, error) {
	var found string
	err := poll(ctx, func() bool {
		for text := range strings.Lines(s.logFrom(mark)) {
			if line.MatchString(text) {
				found = strings.TrimSuffix(text, "\n")
				return true
			}
		}
		return false
	})
	if err != nil {
		err = fmt.Errorf("no line fits %q: %w\n%s", line, err, s.logFrom(mark))
	}
	return found, err
}

// Authentication is a login as the server's log tells it.
type Authentication struct {
	Identity string // the certificate's CN or DN, as pg_hba.conf's clientname says
	Method   string // cert, trust, scram-sha-256
}

var authenticated = regexp.MustCompile(`connection authenticated: identity="(.*)" method=([a-z0-9-]+)`)

// Authentications lists the logins behind a mark, oldest first. The log holds a line before the
// client hears of its success. Logins by trust leave no line in PostgreSQL 15.
func (s *Server) Authentications(mark int64) ([]Authentication, error) {
	text, err := s.LogFrom(mark)
	if err != nil {
		return nil, err
	}
	var all []Authentication
	for _, m := range authenticated.FindAllStringSubmatch(text, -1) {
		all = append(all, Authentication{Identity: m[1], Method: m[2]})
	}
	return all, nil
}
