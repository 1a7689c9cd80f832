// Package metrics shows a node's counters to Prometheus.
//
// It pulls: a scrape asks every tier for its stats and renders them, so that the
// tiers know nothing of Prometheus and a request pays for nothing but its
// counters. It owns names and labels, on which dashboards rely. Label values come
// from the policy and from fixed lists, never from a client.
//
// It must never know how a counter comes about.
package metrics
