package main

import (
	"container/heap"
	"container/list"
)

// lru, fifo and belady are the hit ratios, in percent, of perfect caches of that many objects.

func lru(trace []int32, capacity int) float64 {
	order, at, hits := list.New(), map[int32]*list.Element{}, 0
	for _, k := range trace {
		if e := at[k]; e != nil {
			hits++
			order.MoveToFront(e)
			continue
		}
		if order.Len() == capacity {
			delete(at, order.Remove(order.Back()).(int32))
		}
		at[k] = order.PushFront(k)
	}
	return percent(hits, len(trace))
}

func fifo(trace []int32, capacity int) float64 {
	ring, next, in, hits := make([]int32, 0, capacity), 0, map[int32]bool{}, 0
	for _, k := range trace {
		if in[k] {
			hits++
			continue
		}
		in[k] = true
		if len(ring) < capacity {
			ring = append(ring, k)
			continue
		}
		delete(in, ring[next])
		ring[next] = k
		next = (next + 1) % capacity
	}
	return percent(hits, len(trace))
}

// belady always drops the object that is needed again last. It need not store what comes back later than all others.
func belady(trace []int32, distinct, capacity int) float64 {
	never := int32(len(trace))
	next := make([]int32, len(trace)) // when the object of a request is asked for again
	last := make([]int32, distinct)
	for i := range last {
		last[i] = never
	}
	for i := len(trace) - 1; i >= 0; i-- {
		next[i] = last[trace[i]]
		last[trace[i]] = int32(i)
	}
	needed := make([]int32, distinct) // by object in the cache: when it is needed again, 0 for those outside
	q, size, hits := &byNeed{}, 0, 0
	for i, k := range trace {
		if needed[k] != 0 {
			hits++
		} else {
			size++
		}
		needed[k] = next[i]
		heap.Push(q, need{k, next[i]})
		for size > capacity {
			n := heap.Pop(q).(need)
			if needed[n.key] == n.at { // else this is from before its last use
				needed[n.key] = 0
				size--
			}
		}
	}
	return percent(hits, len(trace))
}

type need struct{ key, at int32 }

type byNeed []need

func (q byNeed) Len() int           { return len(q) }
func (q byNeed) Less(i, j int) bool { return q[i].at > q[j].at }
func (q byNeed) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *byNeed) Push(x any)        { *q = append(*q, x.(need)) }
func (q *byNeed) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(of) }
