package tiers

import (
	"errors"
	"fmt"
	"net/http"

	"weir/keying"
	"weir/l2"
	"weir/rfc9111"
	"weir/shield"
)

// Store is the disk tier as the shield declares it. It exists because a nil pointer in an
// interface is not a nil interface.
type Store struct{ *l2.Store }

var (
	_ shield.Store  = Store{}
	_ shield.Census = Store{}
)

// Lookup returns a stored object, or nil.
func (s Store) Lookup(key keying.Key, h http.Header) (shield.Object, error) {
	object, err := s.Store.Lookup(key, h)
	if object == nil || err != nil {
		return nil, err
	}
	return object, nil
}

// Freshen says in the shield's words that what was validated is gone.
func (s Store) Freshen(key keying.Key, old, resp *rfc9111.Response) error {
	err := s.Store.Freshen(key, old, resp)
	if errors.Is(err, l2.ErrNotStored) {
		return fmt.Errorf("%w: %w", shield.ErrReplaced, err)
	}
	return err
}

// Create begins to store a response.
func (s Store) Create(key keying.Key, resp *rfc9111.Response) (shield.Writer, error) {
	writer, err := s.Store.Create(key, resp)
	if err != nil {
		return nil, err
	}
	return writer, nil
}
