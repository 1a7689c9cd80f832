package shield

import (
	"context"
	"testing"
	"testing/synctest"
)

// ends counts how often it is closed.
type ends chan struct{}

func (e ends) Close() error {
	e <- struct{}{}
	return nil
}

func TestLeash(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(l *leash, end func(), e ends) (free bool)
		closed int
		free   bool
	}{
		"never ends":          {func(l *leash, _ func(), e ends) bool { l.hold(e); return l.free() }, 0, true},
		"ends while it holds": {func(l *leash, end func(), e ends) bool { l.hold(e); end(); return l.free() }, 1, false},
		"ends before":         {func(l *leash, end func(), e ends) bool { end(); l.hold(e); return l.free() }, 1, false},
		"ends after":          {func(l *leash, end func(), e ends) bool { l.hold(e); free := l.free(); end(); return free }, 0, true},
		"ends twice":          {func(l *leash, end func(), e ends) bool { l.hold(e); end(); end(); return l.free() }, 1, false},
		"holds another": {func(l *leash, end func(), e ends) bool {
			l.hold(make(ends))
			l.free()
			l.hold(e)
			end()
			return l.free()
		}, 1, false},
	} {
		for _, of := range []string{"a flight", "a context"} {
			t.Run(name+", of "+of, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l, e := new(leash), make(ends, 3)
					end := l.end
					if of == "a context" {
						if name == "holds another" {
							return // each has its own
						}
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						l, end = leashTo(ctx), func() { cancel(); synctest.Wait() }
					}
					free := c.do(l, end, e)
					synctest.Wait()
					if free != c.free || len(e) != c.closed {
						t.Errorf("free %v, closed %d times", free, len(e))
					}
				})
			})
		}
	}
}
