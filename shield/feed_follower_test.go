package shield_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// A follower can be followed: whoever does knows what the log has, also after it went from one
// node to another, and when the node in between got its rules as what is in force.
func TestFollowingAFollower(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		log, err := shield.NewPurgesWithin(nil, 1000, 1000, 1+rng.IntN(20))
		if err != nil {
			t.Fatal(err)
		}
		edges := []*shield.Purges{shield.NewFollower(), shield.NewFollowerWithin(1000, 1000, 1)}
		program := shield.NewFollower()
		latest := map[string]uint64{}
		for range 100 {
			switch rng.IntN(4) {
			case 0:
				tag := fmt.Sprint(rng.IntN(8))
				latest[tag] = add(t, log, shield.TagRule(tag))
			case 1, 2:
				edge := edges[rng.IntN(2)]
				edge.Apply(log.Since(edge.ID(), edge.Current()))
			default:
				from := edges[rng.IntN(2)]
				if from.ID() != log.ID() || from.Current() < program.Current() {
					continue // a program goes back nowhere
				}
				b := from.Since(program.ID(), program.Current())
				again, err := shield.DecodeBatch(b.Encode())
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				program.Apply(again)
				if program.Current() != from.Current() || program.ID() != log.ID() {
					t.Fatalf("seed %d: at %d, not %d", seed, program.Current(), from.Current())
				}
			}
			knows(t, program, latest, seed)
		}
	}
}

// knows checks what a follower says about objects that are just older and just newer than
// the latest purge of their tag.
func knows(t *testing.T, p *shield.Purges, latest map[string]uint64, seed uint64) {
	t.Helper()
	for tag, epoch := range latest {
		if epoch > p.Current() {
			continue
		}
		if !p.Purged(keying.Key{}, &rfc9111.Response{Tags: []string{tag}, Epoch: epoch - 1}) {
			t.Fatalf("seed %d: the purge %d of tag %s was lost", seed, epoch, tag)
		}
		if p.Purged(keying.Key{}, &rfc9111.Response{Tags: []string{tag}, Epoch: epoch}) {
			t.Fatalf("seed %d: tag %s is purged later than at %d", seed, tag, epoch)
		}
	}
}
