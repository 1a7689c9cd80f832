package simulation_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/cmd/weir/simnet"
	"weir/shield"
)

// ten are regions for ten edges.
func ten() []simnet.Region {
	all := simnet.Regions()
	var some []simnet.Region
	for i := 0; i < len(all); i += 3 {
		some = append(some, all[i])
	}
	return some[:10]
}

// clients is how many there are in the crowd.
const clients = 14_000 / slower

// 14,000 clients of ten edges want one page that nobody has.
func TestACrowdCostsOneRequest(t *testing.T) {
	for _, c := range []struct {
		name string
		kill time.Duration // after the crowd came; 0: never
		most int           // requests at the origin
	}{
		{"all is well", 0, 1},
		{"the shield is killed before the head", 160 * time.Millisecond, 2},
		{"the shield is killed in the body", time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, plan{seed: 1, regions: ten(), jitter: 2 * time.Millisecond, sync: time.Millisecond})
				w.settle(t.Context())
				const url = "http://a.test/l/1"
				answers := make(chan answer, clients)
				for n := range clients {
					go func() { answers <- do(context.Background(), w.edge(n%10).door, ask{url: url}) }()
				}
				if c.kill > 0 {
					time.Sleep(c.kill)
					w.killShield()
					time.Sleep(100 * time.Millisecond)
					w.startShield()
				}
				whole, broken := 0, 0
				var body []byte // known to be right
				for range clients {
					got := <-answers
					if got.broken {
						broken++
						continue
					}
					if bytes.Equal(got.body, body) {
						whole++
						continue
					}
					if _, _, wrong := got.read(ask{url: url}); wrong != "" || got.status != 200 {
						t.Fatalf("%d %s: %.300s\n%s", got.status, wrong, got.body, w.tell(""))
					}
					body = got.body
					whole++
				}
				t.Logf("%d whole, %d visibly broken, %d requests at the origin", whole, broken, w.origin.count(url))
				if n := w.origin.count(url); n > c.most || n == 0 {
					t.Errorf("%d requests at the origin", n)
				}
				if broken > 0 {
					t.Errorf("%d clients did not get the whole", broken)
				}
				w.close()
			})
		})
	}
}

// A thousand tags are purged while an edge is cut off, or while the shield dies: what
// they name is never served again.
func TestAThousandTags(t *testing.T) {
	for _, c := range []struct {
		name string
		kill bool
	}{{"an edge is cut off", false}, {"the shield is killed", true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, plan{seed: 2, regions: ten()[6:], jitter: 2 * time.Millisecond, sync: time.Millisecond})
				w.settle(t.Context())
				const pages, far = 1000 / slower, 3
				url := func(n int) string { return fmt.Sprintf("http://a.test/f/%d", n) }
				look := func(want int) (old int) {
					t.Helper()
					for i := range w.plan.regions {
						for n := range pages {
							a := ask{url: url(n)}
							got := do(t.Context(), w.edge(i).door, a)
							version, _, wrong := got.read(a)
							if got.broken || got.status != 200 || wrong != "" {
								t.Fatalf("%s: %d %s", a.url, got.status, wrong)
							}
							if version < want {
								old++
							}
						}
					}
					return old
				}
				if look(0); w.edge(far).memory.Stats().Objects < pages {
					t.Fatal("the pages are not in memory")
				}
				region := w.plan.regions[far].Name
				if !c.kill {
					w.net.Silence(region, center)
				}
				var tags []string
				for n := range pages {
					w.origin.bump(url(n))
					tags = append(tags, fmt.Sprint("number", n))
				}
				report, err := w.hub().purge(shield.PurgeOrder{Tags: tags})
				if err != nil {
					t.Fatal(err)
				}
				if c.kill {
					w.killShield()
					if old := look(1); old != 0 {
						t.Errorf("%d purged pages were served without a shield", old)
					}
					w.startShield()
				} else {
					if len(report.Pending) != 1 || report.Pending[0] != region {
						t.Errorf("pending: %v", report.Pending)
					}
					time.Sleep(w.plan.maxBlind)
					if old := look(1); old != 0 {
						t.Errorf("%d purged pages were served by an edge that is cut off, or others", old)
					}
					w.net.Heal(region, center, nil)
				}
				if old := look(1); old != 0 {
					t.Errorf("%d purged pages were served", old)
				}
				w.settle(t.Context())
				if old := look(1); old != 0 {
					t.Errorf("%d purged pages were served when all had caught up", old)
				}
				w.close()
			})
		})
	}
}
