package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"weir/shield"
)

// Errors of the way between nodes.
var (
	// ErrLoop means that a request has come through another node already.
	ErrLoop = errors.New("peer: the request came from a node that asks another node")
	// ErrNotShield means that the node asked has a shield itself.
	ErrNotShield = errors.New("peer: the node asked is no shield")
	// ErrGone means that the rest of a body cannot be had any more.
	ErrGone = errors.New("peer: the version that was cut short is gone")
	// ErrRefused means that the shield found the request malformed.
	ErrRefused = errors.New("peer: the shield refused the request")
)

// errStopping means that the shield is being stopped, and that nothing came of the request.
var errStopping = errors.New("it is being stopped")

// codes are the errors that travel, by what they are called on the way. The names are
// those of the error map where it knows them.
var codes = []struct {
	code string
	err  error
}{
	{"not-cached", shield.ErrOnlyIfCached},
	{"overloaded", shield.ErrOverloaded},
	{"no-origin", shield.ErrNoOrigin},
	{"bad-target", shield.ErrTarget},
	{"origin-timeout", shield.ErrOriginTimeout},
	{"timeout", shield.ErrOriginTimeout},
	{"origin-protocol", shield.ErrOriginProtocol},
	{"origin-truncated", shield.ErrOriginTruncated},
	{"origin-unreachable", shield.ErrOriginUnreachable},
	{"loop", ErrLoop},
	{"gone", ErrGone},
	{"malformed", ErrRefused},
	{"bad-purge", shield.ErrOrder},
	{"purge-not-durable", shield.ErrLog},
}

// Codes that mean that nothing came of a request.
const (
	CodeClosing   = "closing"
	CodeNotShield = "not-a-shield"
)

// errorOf is the error that an answer other than a Reply stands for. A status alone is
// whatever some other server says.
func errorOf(status int, body []byte) error {
	var said struct {
		Error struct{ Code, Message, Hint string }
	}
	if json.Unmarshal(body, &said) != nil || said.Error.Code == "" {
		return fmt.Errorf("%w: status %d without a reason", shield.ErrParent, status)
	}
	switch said.Error.Code {
	case CodeClosing:
		return fmt.Errorf("%w: %w", shield.ErrParent, errStopping)
	case CodeNotShield:
		return fmt.Errorf("%w: %w", shield.ErrParent, ErrNotShield)
	}
	for _, c := range codes {
		if c.code == said.Error.Code {
			return fmt.Errorf("the shield says: %w", c.err)
		}
	}
	if status < 400 || status > 599 {
		status = http.StatusBadGateway
	}
	return &Refusal{Status: status, Code: said.Error.Code, Message: said.Error.Message, Hint: said.Error.Hint}
}

// Refusal is any other error of the shield, as its error map has it.
type Refusal struct {
	Status              int
	Code, Message, Hint string
}

func (r *Refusal) Error() string { return "the shield says " + r.Code + ": " + r.Message }
