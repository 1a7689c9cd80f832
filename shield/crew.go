package shield

import (
	"sync"
	"sync/atomic"
)

// mostIdle is how many goroutines are kept for flights to come.
const mostIdle = 256

// A crew runs flights, each in a goroutine of its own. Some of those stay for the next flight: a new
// one would have to grow its stack several times on its way to the origin, which costs more
// than all that starts it.
type crew struct {
	fly  func(*flight)
	next chan *flight // without room: whoever gets a flight has waited for it; closed at the end

	idle atomic.Int32 // about how many wait
	all  sync.WaitGroup
}

func newCrew(fly func(*flight)) *crew {
	return &crew{fly: fly, next: make(chan *flight)}
}

// start begins to run f. There is none after close.
func (c *crew) start(f *flight) {
	select {
	case c.next <- f:
	default:
		c.all.Add(1)
		go c.work(f)
	}
}

func (c *crew) work(f *flight) {
	defer c.all.Done()
	for {
		c.fly(f)
		if c.idle.Add(1) > mostIdle {
			c.idle.Add(-1)
			return
		}
		if f = <-c.next; f == nil {
			return
		}
		c.idle.Add(-1)
	}
}

// close lets the idle go, and is called once. wait waits for all.
func (c *crew) close() { close(c.next) }

func (c *crew) wait() { c.all.Wait() }
