package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"weir/api/peer"
	"weir/shield"
)

// What was written at one edge can be read there at once, and at the others when the purge
// log has told them.
func TestValuesOfACluster(t *testing.T) {
	c := newCluster(t, "")
	fra, lhr, nrt := c.edges["fra"], c.edges["lhr"], c.edges["nrt"]
	for _, edge := range c.edges {
		edge.missing("a") // which is remembered
	}
	for i, writer := range []*running{fra, lhr, nrt, c.shield} {
		want := fmt.Sprint("version ", i)
		writer.setValue("a?tag=red", want)
		writer.wantValue("a", want)
		for name, reader := range c.edges {
			eventually(t, name+" reads "+want, func() bool { return reader.value(http.MethodGet, reader.admin, "a", "").body == want })
		}
	}
	if sent, taken := c.shield.stats().Values.Pushes, nrt.stats().Values.Pushes; sent == nil || sent.Sent == 0 || taken == nil || taken.Taken == 0 {
		t.Errorf("sent %+v, taken %+v", sent, taken)
	}
	tag := fra.value(http.MethodGet, fra.admin, "a", "").Header.Get("Etag")
	if got := lhr.value(http.MethodPut, lhr.admin, "a", "mine", "If-Match: "+tag); got.StatusCode != 204 {
		t.Errorf("a write that is conditional on what another edge has read: %d %s", got.StatusCode, got.body)
	}
	if got := fra.value(http.MethodPut, fra.admin, "a", "mine too", "If-Match: "+tag); got.StatusCode != 412 || !strings.Contains(got.body, "condition-failed") {
		t.Errorf("a write on what is gone: %d %s", got.StatusCode, got.body)
	}
	large := strings.Repeat("0123456789abcdef", 8<<20/16)
	nrt.setValue("large", large)
	fra.wantValue("large", large)
	fra.purge("--all")
	lhr.wantValue("large", large)
	lhr.setValue("tagged?tag=red", "x")
	lhr.purge("--tag", "red")
	for _, edge := range c.edges { // the purge has said that they have applied it
		edge.missing("tagged")
	}
	if got := nrt.value(http.MethodDelete, nrt.admin, "large", ""); got.StatusCode != 204 {
		t.Errorf("delete: %d", got.StatusCode)
	}
	nrt.missing("large")
	eventually(t, "deleted everywhere", func() bool { return fra.value(http.MethodGet, fra.admin, "large", "").StatusCode == 404 })
}

func TestCountingOverThreeEdges(t *testing.T) {
	c := newCluster(t, "")
	const clients, each = 12, 25
	var all sync.WaitGroup
	for client := range clients {
		edge := c.edges[regions[client%len(regions)]]
		all.Go(func() {
			for range each {
				if got := edge.value(http.MethodPost, edge.admin, "n/incr", ""); got.StatusCode != 200 {
					t.Errorf("%d %s", got.StatusCode, got.body)
				}
			}
		})
	}
	all.Wait()
	want := fmt.Sprint(clients * each)
	c.shield.wantValue("n", want)
	for name, edge := range c.edges {
		eventually(t, name, func() bool { return edge.value(http.MethodGet, edge.admin, "n", "").body == want })
	}
}

// A program that follows an edge learns what is written at another one.
func TestChangesOfACluster(t *testing.T) {
	c := newCluster(t, "")
	edge := serve(t, c.clock, "--role", "edge", "--region", "sin", "--shield", c.shield.peers, "--policy", c.policy, "--peer-secret", testSecret, "--kv-listen", "127.0.0.1:0")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, edge.values+"/v1/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := edge.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	from, mine := bufio.NewReader(resp.Body), shield.NewFollower()
	next := func() {
		t.Helper()
		frame, err := peer.ReadFrame(from, peer.MaxBatch)
		if err != nil {
			t.Fatal(err)
		}
		b, err := shield.DecodeBatch(frame)
		if err != nil {
			t.Fatal(err)
		}
		mine.Apply(b)
	}
	for mine.ID() == (shield.LogID{}) {
		next()
	}
	epoch := mine.Current()
	c.edges["fra"].setValue("user:42", "x")
	for !mine.Outdated("user:42", nil, epoch) {
		next()
	}
	if mine.Outdated("user:43", nil, epoch) {
		t.Error("another value counts as written, too")
	}
	if status := edge.stop(); status != exitDone { // the stream does not hold the node up
		t.Errorf("exit status %d:\n%s", status, edge.logs)
	}
}

// A shield that is killed has everything that was acknowledged, and edges read no older version.
func TestAShieldThatIsKilled(t *testing.T) {
	clk := newClock()
	origin := newScripted(t, clk)
	data := folder(t)
	args := []string{"--role", "shield", "--origin", origin.URL, "--data", data, "--peer-secret", testSecret, "--peer-listen"}
	sh := start(t, append(args, "127.0.0.1:0")...)
	addr := strings.TrimPrefix(sh.peers, "https://")
	edges := make([]*running, 2)
	for i := range edges {
		edges[i] = serve(t, clk, "--role", "edge", "--region", regions[i], "--shield", sh.peers, "--origin", origin.URL, "--peer-secret", testSecret)
	}
	acknowledged := make([]map[string]int, 4) // by writer: the number that a key has at least
	var all sync.WaitGroup
	killed := make(chan struct{})
	for writer := range acknowledged {
		acked := map[string]int{}
		acknowledged[writer] = acked
		edge, rng := edges[writer%2], rand.New(rand.NewPCG(uint64(writer), 1))
		all.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-killed:
					return
				default:
				}
				key := fmt.Sprintf("w%d/%d", writer, rng.IntN(20))
				if got := edge.value(http.MethodPut, edge.admin, key, fmt.Sprint(n)); got.StatusCode == 204 {
					acked[key] = n
				} else if got.StatusCode != 503 {
					t.Errorf("%d %s", got.StatusCode, got.body)
				}
			}
		})
	}
	eventually(t, "values are written", func() bool { return sh.stats().Values.Disk.Values >= 40 })
	sh.signal(syscall.SIGKILL)
	close(killed)
	sh.ended()
	sh = start(t, append(args, addr)...)
	all.Wait()
	for _, acked := range acknowledged {
		for key, n := range acked {
			for _, reader := range []*running{sh.running, edges[0], edges[1]} {
				var got int
				eventually(t, key, func() bool {
					answer := reader.value(http.MethodGet, reader.admin, key, "")
					_, err := fmt.Sscan(answer.body, &got)
					return err == nil && answer.StatusCode == 200
				})
				if got < n {
					t.Fatalf("%s: %d, and %d was acknowledged", key, got, n)
				}
			}
		}
	}
	sh.signal(syscall.SIGTERM)
	if status := sh.ended(); status != exitDone {
		t.Errorf("exit status %d:\n%s", status, sh.logs)
	}
	if status, stdout, stderr := command(t, "verify", "--data", data); status != exitDone {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
}
