package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// This file holds how the stress test compares and shows what was said.

// excused is what was said with what docs/transparency.md says is different put as PostgreSQL has it: a Bind that
// lacks parameters, of a statement that had to be prepared again in a failed transaction.
func excused(got, want []Message) []Message {
	got = slices.Clone(got)
	for i, m := range got[:min(len(got), len(want))] {
		if m.Type == 'E' && Field(m, 'C') == "25P02" && strings.HasPrefix(Field(want[i], 'M'), "bind message supplies") {
			got[i] = want[i]
		}
	}
	return got
}

// transcript is what was said, but for what differs between two databases.
func transcript(messages []Message) string {
	var b strings.Builder
	for _, m := range messages {
		body := masked(m)
		if m.Type == 'E' || m.Type == 'N' {
			body = sourceFields.ReplaceAll(body, []byte{0}) // where in PostgreSQL's source it was raised
		}
		fmt.Fprintf(&b, "%c %q\n", m.Type, body)
	}
	return b.String()
}

var sourceFields = regexp.MustCompile(`\x00F[^\x00]*\x00L[^\x00]*\x00R[^\x00]*\x00`)

var anyMark = regexp.MustCompile(`\bc\d\d\b`)

// masked is a message without what differs between two databases: ids of objects and of processes.
func masked(m Message) []byte {
	body := append([]byte(nil), m.Body...)
	mask := func(at int) {
		if binary.BigEndian.Uint32(body[at:]) >= 16384 { // FirstNormalObjectId
			binary.BigEndian.PutUint32(body[at:], 1)
		}
	}
	switch m.Type {
	case 'A':
		copy(body, "pid.")
	case 't':
		for at := 2; at < len(body); at += 4 {
			mask(at)
		}
	case 'T':
		for at := 2; at < len(body); at += 18 {
			at += strings.IndexByte(string(body[at:]), 0) + 1
			mask(at)
			mask(at + 6)
		}
	}
	return body
}

// brief is a step in one line, without its terminator.
func brief(step []byte) string {
	var words []string
	for _, m := range splitClient(bytes.TrimSuffix(step, terminator)) {
		word := string(m.Type)
		switch m.Type {
		case 'Q', 'P', 'B', 'C', 'D':
			text := strings.ReplaceAll(string(bytes.Trim(m.Body, "\x00")), "\x00", "|")
			word += text[:min(len(text), 200)]
		}
		words = append(words, word)
	}
	return strings.Join(words, "; ")
}

// readable is a step with a message to the line.
func readable(step []byte) string {
	var b strings.Builder
	for _, m := range splitClient(step) {
		fmt.Fprintf(&b, "\n  %c %.400q", m.Type, m.Body)
	}
	return b.String()
}

// parting is what a transcript says from where it differs from another one on, in short.
func parting(a, b string) string {
	of, at := strings.Split(a, "\n"), 0
	for other := strings.Split(b, "\n"); at < min(len(of), len(other)) && of[at] == other[at]; {
		at++
	}
	var out strings.Builder
	for _, line := range of[at:min(len(of), at+4)] {
		out.WriteString("\n  " + line[:min(len(line), 200)])
	}
	return out.String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func splitClient(b []byte) (all []Message) {
	for len(b) >= 5 {
		n := 1 + int(binary.BigEndian.Uint32(b[1:]))
		all = append(all, Message{Type: b[0], Body: b[5:n]})
		b = b[n:]
	}
	return all
}
