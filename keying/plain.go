package keying

import "encoding/binary"

// Plain says whether keys by s are made of the URL and of Accept-Encoding alone.
func (s *Spec) Plain() bool {
	return len(s.Cookies) == 0 && len(s.Headers) == 0 && !s.Device && !s.Browser
}

// AppendPlain appends the bytes of the key that Build makes by a spec that is Plain for a GET or HEAD without
// destination and without the origin's word about the query. Of r it reads scheme, host and target, and keeps
// nothing. It allocates only for what is rare: more than 32 parameters, of which not all
// are in the key, and percent-encoded names of them. ok is false when Build would fail.
func (s *Spec) AppendPlain(b []byte, r *Request, accepts Accepts) (key []byte, ok bool) {
	if r.Target == "" || r.Target[0] != '/' {
		return b, false
	}
	var few [32]string
	target := cutTarget(few[:0], s, nil, r.Target)
	if s.BaseIsPath {
		b = appendHead(b, r.Scheme, r.Host, len(target.path))
		b = append(b, target.path...)
	} else {
		b = target.append(appendHead(b, r.Scheme, r.Host, target.size))
	}
	coding := AllCodings
	if !s.Recoded {
		coding = accepts.String()
	}
	b = appendText(b, kindAcceptEncoding, coding)
	b = appendText(b, kindDestination, "")
	if s.Conditions != "" {
		b = appendText(b, kindConditions, s.Conditions)
	}
	if s.Deployment != "" {
		b = appendText(b, kindDeployment, s.Deployment)
	}
	if size := target.size - len(target.path); s.BaseIsPath && size > 0 {
		b = append(b, byte(kindQuery))
		b = binary.AppendUvarint(b, uint64(size))
		b = target.appendQuery(b)
	}
	return b, true
}
