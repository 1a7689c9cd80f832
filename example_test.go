package weir_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir"
)

// Sessions: written at login, read with each request, gone at logout or after an hour.
func Example_sessions() {
	ctx := context.Background()
	cache, err := weir.Open(weir.Options{}) // in memory; Folder: "data" survives restarts, Node: "http://..." is shared
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cache.Close(ctx) }()

	type session struct{ User, Role string }
	err = weir.Set(ctx, cache, "session:7f3a", session{"ann", "editor"}, weir.SetOptions{TTL: time.Hour, Tags: []string{"user:ann"}})
	fmt.Println("login:", err)

	s, err := weir.Get[session](ctx, cache, "session:7f3a")
	fmt.Println("request:", s.User, s.Role, err)

	err = cache.Purge(ctx, "user:ann") // everywhere, whatever sessions there are
	fmt.Println("logout:", err)

	_, err = weir.Get[session](ctx, cache, "session:7f3a")
	fmt.Println("request:", errors.Is(err, weir.ErrMissing))
	// Output:
	// login: <nil>
	// request: ann editor <nil>
	// logout: <nil>
	// request: true
}

// API responses: fetched once a minute, however many ask; served stale while they are
// refreshed. That there is no such thing is remembered for a moment, too.
func ExampleSWR() {
	ctx := context.Background()
	cache, err := weir.Open(weir.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cache.Close(ctx) }()

	type product struct {
		Name  string
		Price int
	}
	requests := 0
	product42 := func(ctx context.Context, id string) (product, error) {
		return weir.SWR(ctx, cache, "product:"+id, func(context.Context) (product, error) {
			requests++ // to a slow service
			if id != "42" {
				return product{}, weir.ErrMissing
			}
			return product{"teapot", 1900}, nil
		}, weir.SWROptions{TTL: time.Minute, Stale: 10 * time.Minute, Tags: []string{"products"}, NegativeTTL: 5 * time.Second})
	}
	for range 3 {
		p, err := product42(ctx, "42")
		fmt.Println(p, err)
	}
	_, err = product42(ctx, "43")
	fmt.Println(err)
	fmt.Println(requests, "requests")
	// Output:
	// {teapot 1900} <nil>
	// {teapot 1900} <nil>
	// {teapot 1900} <nil>
	// kv: no such value
	// 2 requests
}

// Rate limits: a counter per client and minute. The first request begins the minute.
func ExampleCache_Incr() {
	ctx := context.Background()
	cache, err := weir.Open(weir.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cache.Close(ctx) }()

	allowed := func(client string) int {
		n, err := cache.Incr(ctx, "rate:"+client, 1, time.Minute)
		if err == nil && n.Number > 3 {
			return http.StatusTooManyRequests // until n.Until
		}
		return http.StatusOK // whatever the cache says, clients are served
	}
	for range 5 {
		fmt.Println(allowed("192.0.2.7"))
	}
	fmt.Println(allowed("192.0.2.8"))
	// Output:
	// 200
	// 200
	// 200
	// 429
	// 429
	// 200
}

// Feature flags: read everywhere and all the time, changed now and then. With a Node every
// process sees a change as soon as its memory is told; without one, at once.
func Example_featureFlags() {
	ctx := context.Background()
	cache, err := weir.Open(weir.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cache.Close(ctx) }()

	enabled := func(flag string) bool {
		on, err := weir.Get[bool](ctx, cache, "feature:"+flag)
		return err == nil && on // off unless somebody has switched it on
	}
	fmt.Println(enabled("dark-mode"))
	if err := weir.Set(ctx, cache, "feature:dark-mode", true, weir.SetOptions{}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(enabled("dark-mode"))
	if err := cache.Delete(ctx, "feature:dark-mode"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(enabled("dark-mode"))
	// Output:
	// false
	// true
	// false
}

// Reference data: one large value that everybody shares. It is loaded once, and refreshed
// behind everybody's back. Nobody may change what they get.
func Example_referenceData() {
	ctx := context.Background()
	cache, err := weir.Open(weir.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cache.Close(ctx) }()

	rates := func(context.Context) (map[string]float64, error) {
		fmt.Println("loaded")
		return map[string]float64{"EUR": 1, "CHF": 0.94}, nil
	}
	for range 3 {
		r, err := weir.SWR(ctx, cache, "rates", rates, weir.SWROptions{TTL: time.Hour, Stale: 24 * time.Hour})
		fmt.Println(r["CHF"], err)
	}
	// Output:
	// loaded
	// 0.94 <nil>
	// 0.94 <nil>
	// 0.94 <nil>
}
