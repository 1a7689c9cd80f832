package tiers

import (
	"errors"
	"fmt"
	"time"

	"weir/kv"
	"weir/l2"
)

// Values is the disk of values as their keeper declares it.
type Values struct{ *l2.Values }

var _ kv.Disk = Values{}

// Update says in the keeper's words that a record is too large.
func (v Values) Update(key string, change func(old []byte, number uint64) ([]byte, time.Time, error)) error {
	err := v.Values.Update(key, change)
	if errors.Is(err, l2.ErrTooLarge) {
		return fmt.Errorf("%w: the disk's budget has no room for it: %w", kv.ErrInvalid, err)
	}
	return err
}
