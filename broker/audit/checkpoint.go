package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Cause is why a checkpoint was written.
type Cause string

// The causes. The first line of every segment is a checkpoint: start, rotate or recovery.
const (
	CauseInterval Cause = "interval"
	CauseRotate   Cause = "rotate"
	CauseStart    Cause = "start"
	CauseRecovery Cause = "recovery"
	CauseShutdown Cause = "shutdown"
)

// originPrefix starts a note's first line and the signer's name.
const originPrefix = "pgsignet-audit/"

// checkpoint is the group of a checkpoint's line.
type checkpoint struct {
	cause  Cause
	size   int64 // lines before it
	closed bool  // nothing follows: shutdown, and the recovery of a dead process's stream
	note   string

	// At the start of a segment: the right edge of the tree, so that its reader needs no segment
	// before it. It counts only if it yields the root that note signs.
	edge []tlog.Hash

	// Of a recovery: what it sets aside. From byte `from` of `file` on, nothing counts.
	file   string
	from   int64
	bytes  int64  // set aside
	torn   string // where they are kept; "" when they are nowhere
	sha256 string // of what is kept, hex
}

// append writes the group.
func (c *checkpoint) append(e *line) {
	e.open("checkpoint")
	e.str("cause", string(c.cause))
	e.int("size", c.size)
	e.yes("closed", c.closed)
	if c.file != "" {
		e.str("file", c.file)
		e.int("from", c.from)
		e.int("bytes", c.bytes)
		e.str("torn", c.torn)
		e.str("sha256", c.sha256)
	}
	e.hashes("edge", c.edge)
	e.str("note", c.note)
	e.close()
}

// hashes writes an edge, in base64 as notes have it. Empty is left out.
func (e *line) hashes(k string, hs []tlog.Hash) {
	if len(hs) == 0 {
		return
	}
	e.key(k)
	e.b = append(e.b, '[')
	for _, h := range hs {
		e.comma()
		e.b = appendB64(e.b, string(h[:]))
	}
	e.b = append(e.b, ']')
}

// claims is what c says beyond its tree and must be signed for: without that, whoever cuts a stream off
// at a checkpoint could write that it ends there.
func (c *checkpoint) claims() string {
	text := ""
	if c.closed {
		text = "closed\n"
	}
	if c.file != "" {
		text += fmt.Sprintf("aside %q %d %d %q %q\n", c.file, c.from, c.bytes, c.torn, c.sha256)
	}
	return text
}

// closes reports whether what c says beside its note fits t, of which it is the end: h is its head. Of other
// checkpoints the next one signs the line; behind this one none comes.
func (c *checkpoint) closes(h head, t tree) bool {
	node, _, _ := parseStream(t.stream)
	var said string
	if json.Unmarshal([]byte(`"`+string(h.node)+`"`), &said) != nil || said != node || c.size != t.size {
		return false
	}
	if _, err := time.Parse(timeLayout, string(h.time)); err != nil {
		return false
	}
	_, whole := c.edgeOf(t)
	return c.cause == CauseShutdown && len(c.edge) == 0 && c.file == "" || c.cause == CauseRecovery && whole
}

// signTree signs the tree of stream: its name, its size, its root, and the claims of its checkpoint. Not
// tlog.FormatTree, which claims to be Go's checksum database.
func signTree(stream string, size int64, root tlog.Hash, claims string, signer note.Signer) (string, error) {
	text := fmt.Sprintf("%s%s\n%d\n%s\n%s", originPrefix, stream, size, root, claims)
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	return string(signed), err
}

// tree is what a note states.
type tree struct {
	stream string
	size   int64
	root   tlog.Hash
	claims string // see checkpoint.claims
}

// closed reports whether the checkpoint of t ended its stream.
func (t tree) closed() bool { return strings.HasPrefix(t.claims, "closed\n") }

// parseTree reads the text of a note.
func parseTree(text string) (tree, error) {
	parts := strings.SplitN(text, "\n", 4)
	if len(parts) < 4 {
		return tree{}, errors.New("not a checkpoint: three lines expected")
	}
	stream, found := strings.CutPrefix(parts[0], originPrefix)
	if !found {
		return tree{}, fmt.Errorf("not a checkpoint of pgsignet: origin %q", parts[0])
	}
	size, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || size < 0 {
		return tree{}, fmt.Errorf("checkpoint size %q", parts[1])
	}
	root, err := tlog.ParseHash(parts[2])
	if err != nil {
		return tree{}, fmt.Errorf("checkpoint root: %w", err)
	}
	return tree{stream: stream, size: size, root: root, claims: parts[3]}, nil
}

// edgeOf is the edge that c carries, and whether it yields the root of t, a tree of its size.
func (c *checkpoint) edgeOf(t tree) (edge, bool) {
	e := edge{size: c.size, hashes: c.edge}
	if t.size != c.size || bits.OnesCount64(uint64(c.size)) != len(c.edge) {
		return edge{}, false
	}
	return e, e.root() == t.root
}

// checkpointBody is a checkpoint's line from `time` on.
func checkpointBody(e *line, now time.Time, node string, c *checkpoint) []byte {
	e.reset(newLimits(defaultText))
	e.lim.name = maxLine / 4 // a note is one name, and never cut
	e.start(now, node, checkpointEvent)
	c.append(e)
	e.close()
	return e.b
}

// publicKey derives the text form of a signing key's public half: NAME+HASH+base64(1, key).
func publicKey(skey string) (string, error) {
	parts := strings.SplitN(strings.TrimSpace(skey), "+", 5)
	if len(parts) != 5 || parts[0] != "PRIVATE" || parts[1] != "KEY" {
		return "", errors.New("not a key in note's form")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", errors.New("not an Ed25519 key in note's form")
	}
	pub := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(parts[2], pub)
}

// errClaims is a checkpoint whose line says what its note does not.
var errClaims = errors.New("the checkpoint says what is not signed")

// openCheckpoint reads a checkpoint's line and checks the signature of its note.
func openCheckpoint(text []byte, known note.Verifiers) (checkpoint, tree, error) {
	c, err := readCheckpoint(text)
	if err != nil {
		return c, tree{}, err
	}
	t, err := openNote(c.note, known)
	if err == nil && t.claims != c.claims() {
		err = errClaims
	}
	return c, t, err
}

// openNote checks the signature of a note and reads it.
func openNote(signed string, known note.Verifiers) (tree, error) {
	n, err := note.Open([]byte(signed), known)
	if err != nil {
		return tree{}, err
	}
	return parseTree(n.Text)
}
