package relay

import (
	"bytes"
	"slices"
	"strings"
	"unique"

	"github.com/pgsignet/pgsignet/pgwire"
)

// spans is a list of byte ranges to be written one after the other. Ranges that touch are merged,
// so that a stretch of unchanged messages is one range. It keeps its memory.
type spans struct {
	list [][]byte
}

func (s *spans) reset()      { s.list = s.list[:0] }
func (s *spans) empty() bool { return len(s.list) == 0 }

// add appends b. When b directly follows the last range in the same array, that range grows.
func (s *spans) add(b []byte) {
	if len(b) == 0 {
		return
	}
	if n := len(s.list); n > 0 {
		last := s.list[n-1]
		if cap(last)-len(last) >= len(b) && &last[:len(last)+1][len(last)] == &b[0] {
			s.list[n-1] = last[:len(last)+len(b)]
			return
		}
	}
	s.list = append(s.list, b)
}

// paramSet is a small ordered map of reported parameters: a server has about fifteen.
type paramSet struct {
	params []pgwire.Param

	sum    unique.Handle[string] // of all params, in their order, when summed
	summed bool
}

// same is equal for two sets with the same parameters in the same order. It costs nothing until the
// set changes.
func (p *paramSet) same() unique.Handle[string] {
	if !p.summed {
		var b strings.Builder
		for i := range p.params {
			b.WriteString(p.params[i].Name)
			b.WriteByte(0)
			b.WriteString(p.params[i].Value)
			b.WriteByte(0)
		}
		p.sum, p.summed = unique.Make(b.String()), true
	}
	return p.sum
}

func (p *paramSet) load(params []pgwire.Param) {
	p.params, p.summed = append(p.params[:0], params...), false
}

func (p *paramSet) get(name string) (string, bool) {
	for i := range p.params {
		if p.params[i].Name == name {
			return p.params[i].Value, true
		}
	}
	return "", false
}

// fold finds a parameter by a name in any case and returns the name as the server writes it.
func (p *paramSet) fold(name string) (reported, value string, ok bool) {
	for i := range p.params {
		if strings.EqualFold(p.params[i].Name, name) {
			return p.params[i].Name, p.params[i].Value, true
		}
	}
	return "", "", false
}

func (p *paramSet) set(name, value string) {
	for i := range p.params {
		if p.params[i].Name == name {
			if p.params[i].Value != value {
				p.params[i].Value, p.summed = value, false
			}
			return
		}
	}
	p.summed = false
	p.params = append(p.params, pgwire.Param{Name: name, Value: value})
}

func (p *paramSet) remove(name string) {
	p.summed = false
	p.params = slices.DeleteFunc(p.params, func(e pgwire.Param) bool { return e.Name == name })
}

func (p *paramSet) list() []pgwire.Param {
	return append([]pgwire.Param(nil), p.params...)
}

func indexNUL(b []byte) int { return bytes.IndexByte(b, 0) }
