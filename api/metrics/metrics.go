package metrics

import (
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/api"
	"weir/l1"
	"weir/l2"
	"weir/shield"
)

// Sources are where the counters come from. A tier that this node does not have
// is nil.
type Sources struct {
	Region string
	Door   func() api.DoorStats
	L1     func() l1.Stats
	L2     func() l2.Stats
	Shield func() shield.Stats
	Policy func() PolicyStats
	Nodes  func() NodeStats
	Values func() ValuesStats

	ErrorLog *log.Logger // of scrapes that failed; nil: none
}

// PolicyStats counts what became of policy files after the first.
type PolicyStats struct {
	Version            string
	Accepted, Rejected uint64
}

// Handler serves the counters of src, and those of the Go runtime and the
// process, from a registry of its own.
func Handler(src Sources) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	labels := prometheus.Labels{"region": src.Region}
	prometheus.WrapRegistererWith(labels, registry).MustRegister(&collector{src})
	opts := promhttp.HandlerOpts{MaxRequestsInFlight: 4}
	if src.ErrorLog != nil {
		opts.ErrorLog = src.ErrorLog
	}
	return promhttp.HandlerFor(registry, opts)
}

type collector struct{ src Sources }

// Describe sends nothing: which metrics there are depends on the tiers, so the
// registry checks them as they come.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect asks every source once.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	out := sink(ch)
	if c.src.Door != nil {
		out.door(c.src.Door())
	}
	if c.src.L1 != nil {
		out.l1(c.src.L1())
	}
	if c.src.L2 != nil {
		out.l2(c.src.L2())
	}
	if c.src.Shield != nil {
		out.shield(c.src.Shield())
	}
	if c.src.Nodes != nil {
		out.nodes(c.src.Nodes())
	}
	if c.src.Values != nil {
		out.values(c.src.Values())
	}
	if c.src.Policy != nil {
		out.policy(c.src.Policy())
	}
}

// sink is where metrics go.
type sink chan<- prometheus.Metric

// family is a metric with its label names.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("weir_"+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("weir_"+name, help, labels, nil), prometheus.GaugeValue}
}

type number interface {
	~int | ~int64 | ~uint64
}

func send[N number](out sink, f family, value N, labels ...string) {
	out <- prometheus.MustNewConstMetric(f.desc, f.kind, float64(value), labels...)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
