package kv

// DecodeRecord parses a record, and Encode writes it.
func DecodeRecord(src []byte) (*Value, error) {
	r, err := decodeRecord(src)
	if err != nil {
		return nil, err
	}
	return &r.Value, nil
}

// EncodeRecord returns the bytes of a record.
func EncodeRecord(v *Value) []byte { return (&record{*v}).encode() }

// Flights is how many questions to the parent are under way.
func (e *Edge) Flights() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.flights)
}
