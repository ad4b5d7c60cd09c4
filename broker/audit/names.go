package audit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Names in the directory. A stream is NODE-START, a segment NODE-START-SEQ.ndjson.
const (
	segmentSuffix = ".ndjson"
	tornSuffix    = ".torn"
	lockSuffix    = ".lock"
	startLayout   = "20060102T150405.000000Z"
	seqDigits     = 12
	vkeyFile      = "audit.vkey"
	keyFile       = "audit.key"
)

// streamName names the stream of a process that started at t.
func streamName(node string, t time.Time) string {
	return node + "-" + t.UTC().Format(startLayout)
}

// segmentName names the segment whose first line is seq.
func segmentName(stream string, seq int64) string {
	return fmt.Sprintf("%s-%0*d%s", stream, seqDigits, seq, segmentSuffix)
}

// parseSegment splits a segment's file name. The node may hold hyphens: both other parts have a fixed form.
func parseSegment(file string) (stream string, seq int64, ok bool) {
	base, found := strings.CutSuffix(file, segmentSuffix)
	if !found || len(base) < seqDigits+len(startLayout)+3 {
		return "", 0, false
	}
	cut := strings.LastIndexByte(base, '-')
	digits := base[cut+1:]
	if cut < 0 || len(digits) < seqDigits {
		return "", 0, false
	}
	seq, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || seq < 1 {
		return "", 0, false
	}
	stream = base[:cut]
	_, _, ok = parseStream(stream)
	return stream, seq, ok
}

// parseStream splits a stream's name into its node and start.
func parseStream(stream string) (node string, start time.Time, ok bool) {
	cut := len(stream) - len(startLayout)
	if cut < 2 || stream[cut-1] != '-' {
		return "", time.Time{}, false
	}
	start, err := time.Parse(startLayout, stream[cut:])
	return stream[:cut-1], start, err == nil
}

// checkNode refuses a node that cannot be part of a file name and of a signer's name.
func checkNode(node string) error {
	switch {
	case node == "":
		return errors.New("node has no name")
	case len(node) > 64:
		return errors.New("node is longer than 64 bytes")
	case strings.HasPrefix(node, "."):
		return fmt.Errorf("node %q starts with a dot", node)
	}
	for _, r := range node {
		if r == '/' || r == '+' || r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return fmt.Errorf("node %q: %q cannot be in a file name and a signature", node, r)
		}
	}
	return nil
}
