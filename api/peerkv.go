package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"weir/api/peer"
	"weir/kv"
)

// peerValuesRoom is what large values may take that edges read and write at once.
const peerValuesRoom = 128 << 20

// values answers one call of an edge's values.
func (d *PeerDoor) values(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), d.door.opts.ReadTimeout)
	defer cancel()
	ask, leave, err := d.readValue(ctx, w, r)
	if err != nil {
		d.refuse(w, err)
		return
	}
	defer leave()
	answer, err := d.call(ctx, ask)
	if err != nil {
		reply, ok := peer.VerdictOf(err)
		if !ok {
			d.refuse(w, err)
			return
		}
		answer = valueReply{KVReply: *reply}
	}
	if answer.leave != nil {
		defer answer.leave()
	}
	d.writeValues(w, &answer)
}

// readValue reads what an edge asks for, and the value that it sets, whole.
func (d *PeerDoor) readValue(ctx context.Context, w http.ResponseWriter, r *http.Request) (*peer.KVAsk, func(), error) {
	src := &patient{src: r.Body, rc: http.NewResponseController(w)}
	body := bufio.NewReaderSize(src, 4<<10)
	frame, err := peer.ReadFrame(body, peer.MaxKVAsk)
	if err != nil {
		return nil, nil, refuseMessage
	}
	ask, err := peer.DecodeKVAsk(frame)
	if err != nil {
		return nil, nil, refuseMessage
	}
	leave, err := d.room.Take(ctx, int64(ask.Size))
	if err != nil {
		return nil, nil, err
	}
	value := make([]byte, ask.Size)
	if _, err := io.ReadFull(body, value); err != nil {
		leave()
		return nil, nil, refuseMessage
	}
	if _, err := body.ReadByte(); !errors.Is(err, io.EOF) { // it is whole, or nothing of it counts
		leave()
		return nil, nil, refuseMessage
	}
	_ = src.rc.SetReadDeadline(time.Time{})
	ask.Draft.Bytes = value
	return ask, leave, nil
}

// valueReply is what an edge is told.
type valueReply struct {
	peer.KVReply
	bytes [][]byte // of the values that were found
	leave func()   // their room; nil: none
}

// call does what an edge asks for.
func (d *PeerDoor) call(ctx context.Context, ask *peer.KVAsk) (a valueReply, err error) {
	store, key := d.opts.Values, ask.Keys[0]
	switch ask.Op {
	case peer.KVGet:
		var v *kv.Value
		if v, a.leave, err = getWithin(ctx, d.room, store, key); err == nil {
			a.Find(v, d.door.opts.Now())
			a.bytes = append(a.bytes, v.Bytes)
		}
	case peer.KVGetMany:
		err = d.callMany(ctx, ask.Keys, &a)
	case peer.KVSet:
		a.Version, err = store.Set(ctx, key, ask.Draft, ask.Condition)
	case peer.KVDelete:
		err = store.Delete(ctx, key, ask.Condition)
	case peer.KVIncr:
		var count kv.Count
		count, err = store.Incr(ctx, key, ask.Increment)
		a.Version, a.Number, a.Left = count.Version, count.Number, peer.LeftUntil(count.Fresh, d.door.opts.Now())
	}
	return a, err
}

// callMany looks keys up until there is enough for one answer.
func (d *PeerDoor) callMany(ctx context.Context, keys []string, a *valueReply) error {
	leave, err := d.room.Take(ctx, peer.MaxKVPart+kv.MaxValue)
	if err != nil {
		return err
	}
	size := 0
	for _, key := range keys {
		if size >= peer.MaxKVPart {
			a.Found = append(a.Found, peer.KVFound{Later: true})
			continue
		}
		v, err := d.opts.Values.Get(ctx, key)
		if err != nil && !errors.Is(err, kv.ErrMissing) {
			leave()
			return err
		}
		a.Find(v, d.door.opts.Now())
		if v == nil {
			continue
		}
		a.bytes = append(a.bytes, v.Bytes)
		size += len(v.Bytes) + len(v.Type) + len(v.Metadata)
		for _, tag := range v.Tags {
			size += len(tag)
		}
	}
	a.leave = leave
	return nil
}

// writeValues sends the answer, of which the edge has to take some now and then.
func (d *PeerDoor) writeValues(w http.ResponseWriter, a *valueReply) {
	frame := peer.AppendFrame(nil, a.Encode())
	length := len(frame)
	for _, value := range a.bytes {
		length += len(value)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.Header().Set(peer.EpochField, strconv.FormatUint(d.opts.Purges.Current(), 10)) // with all that the answer knows of
	for _, piece := range append([][]byte{frame}, a.bytes...) {
		if pour(w, piece) != nil {
			return // the server sees it too
		}
	}
}
