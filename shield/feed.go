package shield

// A LogID tells one purge log from all others. It is made when a log begins.
type LogID [16]byte

// A DatedRule is a rule and the epoch at which it came into force.
type DatedRule struct {
	Epoch uint64
	Rule  Rule
}

// A Batch is what a follower of a log lacks.
type Batch struct {
	Log          LogID
	After, Epoch uint64      // where the follower must be, and where it is afterwards
	Reset        bool        // its place in the log does not exist: it must drop everything first
	Rules        []DatedRule // in any order
}
