package api

import (
	"bytes"
	"net/http"
	"strconv"

	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

// render puts the head of the answer into x.out, and the body behind it if it is short.
func (x *hit) render() bool {
	ready := x.found.Ready
	if ready == nil {
		if ready = x.prepare(); ready == nil {
			return false
		}
		x.hits.memory.Keep(&x.found, ready)
	}
	b := append(x.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(x.status), 10)
	b = append(append(b, ' '), http.StatusText(x.status)...)
	fields := len(b) + len("\r\n")
	b = append(b, ready.Bytes[:ready.Age]...)
	b = strconv.AppendInt(b, whole(x.found.Head.Age(x.ask.Now)), 10)
	b = append(b, ready.Bytes[ready.Age:ready.TTL]...)
	b = strconv.AppendInt(b, whole(x.found.TTL), 10)
	b = append(b, ready.Bytes[ready.TTL:]...)
	if x.status == http.StatusNotModified {
		b = b[:fields+len(notModified(b[fields:], ready.Ranges))]
	}
	x.out = b
	return true
}

// desk is what a head is made on that is not ready. Nothing lies on it between two of them.
type desk struct {
	req    policy.Request
	ans    rfc9111.Answer
	fields http.Header
	head   bytes.Buffer
}

func (d *desk) clear() {
	d.req, d.ans = policy.Request{}, rfc9111.Answer{}
	clear(d.fields)
	d.head.Reset()
}

// prepare makes the head of the answer, as the door does. It returns nil where it cannot be sure
// that this head is the one for every request like this.
func (x *hit) prepare() *l1.ReadyHead {
	defer x.desk.clear()
	req, ans, h, b := &x.desk.req, &x.desk.ans, x.desk.fields, &x.desk.head
	req.Method, req.Plan = http.MethodGet, x.plan
	ans.Head, ans.Bytes, ans.Decision, ans.Varied = x.found.Head, x.found.Body, x.decision(), x.found.Varied
	ans.Decision.TTL = 0
	out, err := shape(req, ans)
	if err != nil || out.status != ans.Head.Status || http.StatusText(out.status) == "" {
		return nil
	}
	out.head(h, req, ans, x.ask.Now)
	if len(h["Age"]) != 1 {
		return nil
	}
	h["Age"] = []string{"0"}
	ans.Decision.Apply(h, x.hits.door.opts.Region)
	b.WriteString("\r\n")
	_ = h.Write(b) // a Buffer takes everything
	b.WriteString("\r\n")
	ready := &l1.ReadyHead{Table: x.plan.Table.Version, Plan: x.plan.Number}
	ready.Ranges = out.ranged && ans.Head.Header["Accept-Ranges"] == nil && x.plan.SetResponseHeaders["Accept-Ranges"] == ""
	if !cutNumbers(ready, b.Bytes()) {
		return nil
	}
	return ready
}

// cutNumbers takes the zeros of Age and of the ttl in Cache-Status out of a head.
func cutNumbers(ready *l1.ReadyHead, head []byte) bool {
	const age, status, ttl = "\r\nAge: ", "\r\nCache-Status: ", "; ttl="
	at := bytes.Index(head, []byte(age+"0\r\n"))
	line := bytes.Index(head, []byte(status))
	if at < 0 || line < at {
		return false
	}
	end := line + len(status) + bytes.IndexByte(head[line+len(status):], '\r')
	if !bytes.HasSuffix(head[:end], []byte(ttl+"0")) {
		return false
	}
	ready.Age, ready.TTL = at+len(age), end-len("00")
	ready.Bytes = make([]byte, 0, len(head)-len("00"))
	ready.Bytes = append(ready.Bytes, head[:ready.Age]...)
	ready.Bytes = append(ready.Bytes, head[ready.Age+1:end-1]...)
	ready.Bytes = append(ready.Bytes, head[end:]...)
	return true
}

// undescribed are the fields that a 304 leaves out, RFC 9110 15.4.5: see outcome.fields.
var undescribed = [...]string{"Content-Type: ", "Content-Length: ", "Content-Encoding: ", "Content-Language: ", "Content-Range: "}

// notModified takes out of the fields of a 200 what a 304 leaves out. ours says that Accept-Ranges
// is there only because of the status.
func notModified(fields []byte, ours bool) []byte {
	kept := fields[:0]
	for rest := fields; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if line := rest[:end]; !describing(line) && !(ours && bytes.HasPrefix(line, []byte("Accept-Ranges: "))) {
			kept = append(kept, line...)
		}
		rest = rest[end:]
	}
	return kept
}

func describing(line []byte) bool {
	for _, name := range undescribed {
		if bytes.HasPrefix(line, []byte(name)) {
			return true
		}
	}
	return false
}
