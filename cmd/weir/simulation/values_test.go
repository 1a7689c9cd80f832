package simulation_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/cmd/weir/simnet"
	"weir/kv"
)

func draft(n int) kv.Draft { return kv.Draft{Bytes: strconv.AppendInt(nil, int64(n), 10)} }

func number(v *kv.Value) int {
	if v == nil {
		return -1
	}
	n, err := strconv.Atoi(string(v.Bytes))
	if err != nil {
		return -1
	}
	return n
}

// seenWithin is the promise of how long a write takes to be read everywhere, from its begin on.
const seenWithin = 300 * time.Millisecond

// A write at one edge is read at the 27 others, which all remember what was before it. The
// value comes with the rule, so that nobody has to fetch it from the shield.
func TestValuesTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		regions := simnet.Regions()
		w := newWorld(t, plan{seed: 1, regions: regions, jitter: 4 * time.Millisecond, sync: 3 * time.Millisecond, values: true})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		w.settle(ctx)
		random := rand.New(rand.NewPCG(1, 7))
		var fromBegin, fromAnswer arrivals
		for n := range 300 / min(slower, 10) {
			writer := random.IntN(len(regions))
			for i := range regions {
				if _, err := w.edge(i).values.Get(ctx, "k"); err != nil && !errors.Is(err, kv.ErrMissing) {
					t.Fatal(err)
				}
			}
			var reading sync.WaitGroup
			began := time.Now()
			acknowledged := make(chan time.Time)
			for i := range regions {
				if i == writer {
					continue
				}
				reading.Go(func() {
					for {
						v, err := w.edge(i).values.Get(ctx, "k")
						if err != nil && !errors.Is(err, kv.ErrMissing) {
							t.Error(err)
							return
						}
						if number(v) == n {
							seen := time.Now()
							fromBegin.add(seen.Sub(began))
							fromAnswer.add(max(0, seen.Sub(<-acknowledged)))
							return
						}
						time.Sleep(2 * time.Millisecond)
					}
				})
			}
			if _, err := w.edge(writer).values.Set(ctx, "k", draft(n), kv.Condition{}); err != nil {
				t.Fatal(err)
			}
			at := time.Now()
			reading.Go(func() {
				for range len(regions) - 1 {
					acknowledged <- at
				}
			})
			if v, err := w.edge(writer).values.Get(ctx, "k"); err != nil || number(v) != n {
				t.Errorf("%s wrote %d, and reads %v: %v", regions[writer].Name, n, v, err)
			}
			reading.Wait()
		}
		w.close()
		t.Logf("to the first read that has seen it, from the begin of the write: p50 %v, p99 %v, last %v; from its acknowledgement: p50 %v, p99 %v, last %v",
			fromBegin.at(50), fromBegin.at(99), fromBegin.at(100), fromAnswer.at(50), fromAnswer.at(99), fromAnswer.at(100))
		if p99 := fromBegin.at(99); p99 >= seenWithin {
			t.Errorf("p99 is %v, from the begin of the write", p99)
		}
	})
}

// faraway are three edges of a world.
func faraway() []simnet.Region {
	all := simnet.Regions()
	return []simnet.Region{all[0], all[13], all[27]}
}

// Everybody counts in one number, over three edges: each increment counts once.
func TestACrowdCounts(t *testing.T) {
	const clients = 100
	each := int(environment(t, "WEIR_INCREMENTS", 50/slower))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{seed: 2, regions: faraway(), jitter: 2 * time.Millisecond, sync: 3 * time.Millisecond, values: true})
		w.settle(t.Context())
		began := time.Now()
		var counting sync.WaitGroup
		for i := range clients {
			counting.Go(func() {
				e := w.edge(i % 3).values
				for n := range each {
					count, err := e.Incr(t.Context(), "hits", kv.Increment{By: 1, TTL: time.Hour})
					if err != nil {
						t.Error(err)
						return
					}
					if n%10 > 0 {
						continue
					}
					if v, err := e.Get(t.Context(), "hits"); err != nil || int64(number(v)) < count.Number {
						t.Errorf("counted to %d, and then read %v: %v", count.Number, v, err)
						return
					}
				}
			})
		}
		counting.Wait()
		t.Logf("%d increments took %v", clients*each, time.Since(began))
		for i := range 3 {
			want, err := w.edge(i).values.Incr(t.Context(), "hits", kv.Increment{})
			if err != nil || want.Number != int64(clients*each) {
				t.Errorf("edge %d counts %d of %d: %v", i, want.Number, clients*each, err)
			}
		}
		w.close()
	})
}

// ledgerOf is what the clients of a world know of keys that they alone write.
type ledgerOf struct {
	acknowledged, attempted int // the latest of each
}

// Writes go on while the shield and edges are killed, each right after it has acknowledged
// one: what was acknowledged is there afterwards, and what is there was written.
func TestAcknowledgedWritesSurvive(t *testing.T) {
	const clients = 100
	each := int(environment(t, "WEIR_WRITES", 10/slower))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{seed: 3, regions: faraway(), jitter: 2 * time.Millisecond, sync: 3 * time.Millisecond, values: true})
		w.settle(t.Context())
		books := make([]ledgerOf, clients)
		kill := make(chan struct{}) // a write was acknowledged just now
		killed := make(chan int)
		go func() { killed <- w.killNow(kill, 40) }()
		var writing sync.WaitGroup
		var lost atomic.Int64
		for i := range clients {
			writing.Go(func() {
				lost.Add(int64(w.write(t, i, each, &books[i], kill)))
			})
		}
		writing.Wait()
		close(kill)
		kills := <-killed
		w.settle(t.Context())
		for i, book := range books {
			for n := range w.plan.regions {
				v, err := w.edge(n).values.Get(t.Context(), "k"+strconv.Itoa(i))
				if got := number(v); err != nil || got < book.acknowledged || got > book.attempted {
					t.Errorf("key %d: edge %d has %d (%v); %d was acknowledged, %d written", i, n, got, err, book.acknowledged, book.attempted)
				}
			}
		}
		t.Logf("%d writes were acknowledged, %d kills, %d writes had no answer", clients*each, kills, lost.Load())
		w.close()
	})
}

// write has one client write ascending numbers until enough were acknowledged, and read each
// at the edge that it was written at. It returns how many writes had no answer.
func (w *world) write(t *testing.T, client, enough int, book *ledgerOf, kill chan<- struct{}) (lost int) {
	key := "k" + strconv.Itoa(client)
	for done := 0; done < enough; {
		book.attempted++
		e := w.edge((client + done) % len(w.plan.regions))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := e.values.Set(ctx, key, draft(book.attempted), kv.Condition{})
		cancel()
		if err != nil {
			lost++
			time.Sleep(50 * time.Millisecond)
			continue
		}
		book.acknowledged, done = book.attempted, done+1
		select {
		case kill <- struct{}{}:
		default:
		}
		if v, err := e.values.Get(t.Context(), key); err == nil && number(v) != book.acknowledged {
			t.Errorf("%s wrote %d of %s, and reads %d", e.name, book.acknowledged, key, number(v))
		}
	}
	return lost
}

// killNow kills the shield or an edge at some of the acknowledgements, at most so many
// times, and starts it again.
func (w *world) killNow(acknowledged <-chan struct{}, most int) (kills int) {
	random := rand.New(rand.NewPCG(w.plan.seed, 8))
	for range acknowledged {
		if random.IntN(4) > 0 || kills == most {
			continue
		}
		kills++
		if random.IntN(2) == 0 {
			w.restartEdge(random.IntN(len(w.plan.regions)))
			continue
		}
		w.killShield()
		time.Sleep(time.Duration(random.IntN(800)) * time.Millisecond)
		w.startShield()
	}
	return kills
}
