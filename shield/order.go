package shield

// A PurgeOrder says what is to be purged: everything that any of its lists names.
type PurgeOrder struct {
	Tags     []string `json:"tags,omitempty"`
	URLs     []string `json:"urls,omitempty"`     // all variants, and all keys that key specs split them into
	Prefixes []string `json:"prefixes,omitempty"` // of URLs, byte for byte
	Hosts    []string `json:"hosts,omitempty"`    // without a scheme
	Keys     []string `json:"keys,omitempty"`     // digests in hex
	All      bool     `json:"all,omitempty"`
	Soft     bool     `json:"soft,omitempty"`   // what is named becomes stale instead of going
	DryRun   bool     `json:"dryRun,omitempty"` // nothing is purged, only counted
}

// A PurgeReport is what became of a PurgeOrder.
type PurgeReport struct {
	Epoch   uint64         `json:"epoch"`             // at which it is in force; of a dry run the current one
	Matched *int64         `json:"matched,omitempty"` // stored objects that it names, where they were counted
	Regions []RegionReport `json:"regions"`           // that apply it
	Pending []string       `json:"pending"`           // regions that did not say so in time
}

// RegionReport is a region that applies a purge.
type RegionReport struct {
	Region    string `json:"region"`
	AppliedMs int64  `json:"appliedMs"` // from the durable purge to the region's word
}
