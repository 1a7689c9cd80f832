package api

import (
	"context"

	"weir/api/peer"
	"weir/shield"
)

// batches makes batches of a purge log for those who follow it. Long ones are made one or two at
// a time, and take no more than their room from then on until they are sent, whoever is slow
// to take them. What is told every day is short, and waits for nobody.
type batches struct {
	makers chan struct{} // one element for each long batch that is being made
	room   *peer.Room    // for those on their way
}

// maxMakers is how many long batches may be made at once, usualBatches what all may take on
// their way, in bytes, and shortBatch how many rules there are in a short one at most.
const (
	maxMakers    = 2
	usualBatches = 2 * peer.MaxBatch
	shortBatch   = 1024
)

// newBatches returns batches with room for so many bytes, 0 for the usual.
func newBatches(bytes int64) batches {
	if bytes <= 0 {
		bytes = usualBatches
	}
	return batches{makers: make(chan struct{}, maxMakers), room: peer.NewRoom(bytes)}
}

// A madeBatch is one that is on its way until leave is called.
type madeBatch struct {
	shield.Batch
	encoded []byte
	leave   func()
}

func (m *madeBatch) place() peerPlace { return peerPlace{m.Log, m.Epoch} }

// short says whether what one who is at a place lacks is told at once.
func (b *batches) short(log *shield.Purges, at peerPlace) bool {
	return log.Lacks(at.id, at.after) <= shortBatch
}

// make makes what one who is at a place lacks, and waits for its turn and for room until ctx ends.
func (b *batches) make(ctx context.Context, log *shield.Purges, at peerPlace) (*madeBatch, error) {
	if !b.short(log, at) {
		select {
		case b.makers <- struct{}{}:
			defer func() { <-b.makers }()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	m := &madeBatch{Batch: log.Since(at.id, at.after)}
	m.encoded = m.Encode()
	var err error
	if m.leave, err = b.room.Take(ctx, int64(len(m.encoded))); err != nil {
		return nil, err
	}
	m.Rules = nil // they are not needed any more
	return m, nil
}
