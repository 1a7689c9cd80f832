package weir

import (
	"encoding/json"
	"fmt"
)

// A Codec makes bytes of values, and values of bytes.
type Codec struct {
	Type   string // media type of the bytes
	Encode func(v any) ([]byte, error)
	Decode func(src []byte, to any) error // to is a pointer; what is kept of src is copied
}

// JSON is the codec of a cache that is given none. Clients in other languages read it.
var JSON = Codec{Type: "application/json", Encode: json.Marshal, Decode: json.Unmarshal}

// Bytes keeps []byte and string as they are.
var Bytes = Codec{
	Type: "application/octet-stream",
	Encode: func(v any) ([]byte, error) {
		switch v := v.(type) {
		case []byte:
			return v, nil
		case string:
			return []byte(v), nil
		}
		return nil, fmt.Errorf("weir: the codec Bytes keeps []byte and string, not %T: use JSON", v)
	},
	Decode: func(src []byte, to any) error {
		switch to := to.(type) {
		case *[]byte:
			*to = append([]byte(nil), src...)
		case *string:
			*to = string(src)
		default:
			return fmt.Errorf("weir: the codec Bytes keeps []byte and string, not %T: use JSON", to)
		}
		return nil
	},
}
