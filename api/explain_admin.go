package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// explain answers GET /v1/explain?url=&method=&header=&body=&fetch=. Nothing of the query goes
// into a log: header may be somebody's secret.
func (a *Admin) explain(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuestion(r.URL.RawQuery)
	if err == nil {
		var x *Explanation
		if x, err = a.opts.Explain(r.Context(), q); err == nil {
			return writeJSON(w, http.StatusOK, x)
		}
	}
	if errors.Is(err, ErrExplain) {
		message, hint := WhatIsWrong(err)
		return &fault{status: 400, code: "bad-explain", message: message, hint: hint, cause: ErrExplain}
	}
	return err
}

// parseQuestion reads the query of an explain request, strictly.
func parseQuestion(raw string) (q Question, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("%w: the query is malformed; percent-encode url and header", ErrExplain)
	}
	for name, all := range values {
		switch {
		case name == "header":
			q.Header = all
			continue
		case len(all) > 1:
			return q, fmt.Errorf("%w: %.20q stands twice; give it once", ErrExplain, name)
		}
		switch value := all[0]; name {
		case "url":
			q.URL = value
		case "method":
			q.Method = value
		case "body":
			q.Body = value
		case "fetch":
			if q.Fetch = value == "1" || value == "true"; !q.Fetch && value != "0" && value != "false" && value != "" {
				return q, fmt.Errorf("%w: fetch is %.20q; it is 1 or 0", ErrExplain, value)
			}
		default:
			return q, fmt.Errorf("%w: %.20q is no parameter; there are url, method, header, body and fetch", ErrExplain, name)
		}
	}
	if q.URL == "" {
		return q, fmt.Errorf("%w: there is no url; add ?url=http://HOST/PATH", ErrExplain)
	}
	return q, nil
}
