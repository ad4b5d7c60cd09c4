package upstream

import (
	"cmp"
	"slices"
	"strings"
)

// attempts are the errors of the addresses that were tried.
type attempts []*LoginError

// maxAttempts bounds how many are kept: a name may resolve to any number of addresses.
const maxAttempts = 16

// add keeps e, unless there are too many.
func (a *attempts) add(e *LoginError) {
	if len(*a) < maxAttempts {
		*a = append(*a, e)
	}
}

// speaker is the error that Dial returns: the most telling one, with all of them as its cause.
func (a attempts) speaker() *LoginError {
	if len(a) == 0 {
		return unreachable(noAddress{})
	}
	top := slices.MaxFunc(a, func(x, y *LoginError) int { return cmp.Compare(x.rank(), y.rank()) })
	if len(a) == 1 {
		return top
	}
	e := *top
	e.addr, e.cause = "", a
	return &e
}

// rank orders errors by how much they tell: a server that answered outranks one that did not.
func (e *LoginError) rank() int {
	return slices.Index([]string{
		ReasonUnreachable, ReasonTLS, ReasonProtocol, ReasonTarget, ReasonStarting, ReasonUnproven, ReasonRefused,
	}, e.reason)
}

// Error lists them all.
func (a attempts) Error() string {
	texts := make([]string, len(a))
	for i, e := range a {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns them all.
func (a attempts) Unwrap() []error {
	list := make([]error, len(a))
	for i, e := range a {
		list[i] = e
	}
	return list
}

// noAddress is why nothing was tried at all.
type noAddress struct{}

func (noAddress) Error() string { return "the hosts resolve to no address" }
