package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"weir/shield"
)

// maxAdminBody bounds the body of an admin request, in bytes, unless its route says
// otherwise.
const maxAdminBody = 1 << 20

// AdminOptions are what the admin listener shows and how it is guarded.
type AdminOptions struct {
	// Token is the bearer token that everything but the two health checks asks
	// for. Without one the listener must be on loopback, and only requests that
	// name a loopback host are served: a page that a browser shows cannot reach it
	// under a name of its own.
	Token string

	// Purge carries out an order in all regions. nil: no such route.
	Purge func(ctx context.Context, order shield.PurgeOrder) (shield.PurgeReport, error)

	// Explain tells what becomes of a request. nil: no such route.
	Explain func(ctx context.Context, q Question) (*Explanation, error)

	Values  *Values            // the routes of values; nil: none
	Changes *Changes           // the stream of purges; nil: no such route
	Ready   func() error       // nil: ready; otherwise why not
	Stats   func() any         // of the node as a whole, marshalled as JSON
	Policy  func() PolicyState // in force
	Metrics http.Handler       // /metrics; nil: no such route
	Journal *Journal           // of the node's doors, for /v1/logs; nil: no such route

	Profiling bool // whether /debug/pprof is served

	Log *zap.Logger // of failures; nil: none
}

// PolicyState is a policy and where it came from.
type PolicyState struct {
	Version    string          `json:"version"`
	Deployment string          `json:"deployment,omitempty"`
	Source     json.RawMessage `json:"source"` // null when there is no file
}

// handler is a route of the admin listener: a plain function whose error goes
// through the error map.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is where a handler is found. Open routes ask for no token.
type route struct {
	method, path string
	handle       handler
	open         bool
	body         int64 // bytes that it takes; 0: maxAdminBody
}

// Admin is the handler of the admin listener, or of one that has a part of its routes.
type Admin struct {
	opts  AdminOptions
	words listenerWords
	echo  *echo.Echo
	csrf  *http.CrossOriginProtection
}

// listenerWords are what errors call a listener.
type listenerWords struct{ name, token, flag, paths string }

var adminWords = listenerWords{
	name: "admin listener", token: "admin token", flag: "--admin-token",
	paths: "/healthz, /readyz, /metrics, /v1/stats, /v1/logs, /v1/policy, /v1/explain, /v1/purge or /v1/kv/KEY",
}

// NewAdmin returns the admin handler.
func NewAdmin(opts AdminOptions) *Admin {
	a := &Admin{opts: opts, words: adminWords}
	return a.begin(a.routes())
}

// begin makes a serve routes.
func (a *Admin) begin(routes []route) *Admin {
	if a.opts.Log == nil {
		a.opts.Log = zap.NewNop()
	}
	a.echo, a.csrf = echo.New(), http.NewCrossOriginProtection()
	e := a.echo
	e.IPExtractor = echo.ExtractIPDirect() // a forwarded address is whatever a client says
	e.HTTPErrorHandler = a.fail
	e.Logger.SetOutput(io.Discard) // failures go to our log
	for _, rt := range routes {
		e.Add(rt.method, rt.path, a.wrap(rt))
		if rt.method == http.MethodGet { // load balancers probe with HEAD, RFC 9110 9.1
			e.Add(http.MethodHead, rt.path, a.wrap(rt))
		}
	}
	return a
}

// routes are all routes of the admin listener.
func (a *Admin) routes() []route {
	routes := []route{
		{method: "GET", path: "/healthz", handle: a.health, open: true},
		{method: "GET", path: "/readyz", handle: a.ready, open: true},
		{method: "GET", path: "/v1/stats", handle: a.stats},
		{method: "GET", path: "/v1/policy", handle: a.policy},
	}
	if a.opts.Purge != nil {
		routes = append(routes, route{method: "POST", path: "/v1/purge", handle: a.purge})
	}
	if a.opts.Explain != nil {
		routes = append(routes, route{method: "GET", path: "/v1/explain", handle: a.explain})
	}
	if a.opts.Metrics != nil {
		routes = append(routes, route{method: "GET", path: "/metrics", handle: a.metrics})
	}
	if a.opts.Journal != nil {
		routes = append(routes, route{method: "GET", path: "/v1/logs", handle: a.logs})
	}
	if a.opts.Profiling {
		routes = append(routes, route{method: "GET", path: "/debug/pprof/:name", handle: a.profile})
	}
	return append(append(routes, a.opts.Values.routes()...), a.opts.Changes.routes()...)
}

// ServeHTTP guards the listener as a whole, unknown routes included, and then
// lets echo find the route.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := a.guard(r); f != nil {
		a.writeFault(w, r, f)
		return
	}
	a.echo.ServeHTTP(w, r)
}

// guard refuses what a browser was made to send.
func (a *Admin) guard(r *http.Request) *fault {
	if a.opts.Token != "" {
		return nil // which a page does not know
	}
	if !loopbackHost(r.Host) {
		return &fault{
			status: http.StatusForbidden, code: "foreign-host",
			message: "Without a token the " + a.words.name + " answers only to localhost and loopback addresses.",
			hint:    "Ask for it as http://127.0.0.1 or start with " + a.words.flag + ".",
		}
	}
	if err := a.csrf.Check(r); err != nil {
		return &fault{
			status: http.StatusForbidden, code: "foreign-origin", cause: err,
			message: "A page of another site may not change anything here.",
			hint:    "Use a program that is not a browser, or a token.",
		}
	}
	return nil
}

func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// wrap is the layer between echo and a plain handler.
func (a *Admin) wrap(rt route) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = panicFault(p)
			}
		}()
		if !rt.open && !a.authorized(c.Request()) {
			c.Response().Header().Set("WWW-Authenticate", `Bearer realm="weir"`)
			return &fault{
				status: http.StatusUnauthorized, code: "unauthorized",
				message: "This needs the " + a.words.token + ".",
				hint:    "Send it as Authorization: Bearer TOKEN.",
			}
		}
		r := c.Request()
		r.Body = http.MaxBytesReader(c.Response(), r.Body, cmp.Or(rt.body, maxAdminBody))
		for i, name := range c.ParamNames() {
			r.SetPathValue(name, c.ParamValues()[i])
		}
		return rt.handle(c.Response(), r)
	}
}

// authorized compares digests, so that neither content nor length of the token
// shows in the time that it takes.
func (a *Admin) authorized(r *http.Request) bool {
	if a.opts.Token == "" {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(a.opts.Token)), sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// fail is echo's error handler: it hands everything to the error map.
func (a *Admin) fail(err error, c echo.Context) {
	if c.Response().Committed {
		a.opts.Log.Warn("admin answer broke off", zap.String("path", printable(c.Request().URL.Path)), zap.Error(err))
		return
	}
	a.writeFault(c.Response(), c.Request(), a.fault(err))
}

// fault adds what only a router and a bounded body can say to the error map.
func (a *Admin) fault(err error) *fault {
	var (
		unrouted *echo.HTTPError
		large    *http.MaxBytesError
	)
	switch {
	case errors.As(err, &large):
		return &fault{status: 413, code: "body-too-large", message: "The request body is longer than this route takes; nothing was done.", hint: "Send several shorter ones.", close: true}
	case errors.As(err, &unrouted) && unrouted.Code == http.StatusNotFound:
		return &fault{status: 404, code: "not-found", message: "There is nothing at this path of the " + a.words.name + ".", hint: "Try " + a.words.paths + "."}
	case errors.As(err, &unrouted) && unrouted.Code == http.StatusMethodNotAllowed:
		return &fault{status: 405, code: "method-not-allowed", message: "This path does not take this method.", hint: "The field Allow lists those that it takes."}
	}
	return faultOf(err)
}

func (a *Admin) writeFault(w http.ResponseWriter, r *http.Request, f *fault) {
	if f.status >= 500 && f.code != "not-ready" { // which probes ask for all the time
		a.opts.Log.Warn("admin request failed", zap.String("path", printable(r.URL.Path)), zap.Error(f))
	}
	body := f.fields(w.Header())
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that left is not told
	}
}

func (a *Admin) health(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready fails while the node starts or drains, so that a load balancer sends
// requests elsewhere before connections are refused.
func (a *Admin) ready(w http.ResponseWriter, _ *http.Request) error {
	if a.opts.Ready != nil {
		if err := a.opts.Ready(); err != nil {
			return &fault{status: 503, code: "not-ready", message: "This node takes no requests: " + err.Error() + ".", retry: 1}
		}
	}
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (a *Admin) stats(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, a.opts.Stats())
}

func (a *Admin) policy(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, a.opts.Policy())
}

func (a *Admin) metrics(w http.ResponseWriter, r *http.Request) error {
	a.opts.Metrics.ServeHTTP(w, r)
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	return err
}
