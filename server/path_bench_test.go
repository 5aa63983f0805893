package server_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/orchestration"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/serving"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

// BenchmarkCalm ranks the 300 titles of examples/calm for its users, with the popularity of every title read fresh.
func BenchmarkCalm(b *testing.B) {
	o, rel, users := calm(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, err := o.Predict(b.Context(), rel, release.Request{Pipeline: "today", Entity: users[i%len(users)], Explain: true})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// calm is an orchestrator over the first 20,000 events of examples/calm, at the moment of the last.
func calm(tb testing.TB) (*orchestration.Orchestrator, *release.Opened, []freshet.Entity) {
	tb.Helper()
	p, err := project.Load("../examples/calm")
	if err != nil {
		tb.Fatal(err)
	}
	rel, err := release.Open(p, []modelruntime.Runtime{treemodel.LightGBM{}})
	if err != nil {
		tb.Fatal(err)
	}
	features := featurestore.New(memfeatures.New())
	log := eventlog.New(memlog.New(nil))
	users, last := load(tb, rel, features, 20_000)
	live := &release.Live{}
	live.Store(rel)
	return orchestration.New(orchestration.Deps{
		Live: live, Log: log, Features: features, Reader: reader.New(features, log),
		Models: serving.New(prometheus.NewRegistry()), Metrics: orchestration.NewMetrics(prometheus.NewRegistry()),
	}, orchestration.Options{Workers: 1, Now: func() time.Time { return last.Time() }}), rel, users
}

// load applies events to rows without log and receiver, in order of event time as far as the file has it.
func load(tb testing.TB, rel *release.Opened, features *featurestore.Store, n int) (users []freshet.Entity, last freshet.Timestamp) {
	tb.Helper()
	f, err := os.Open("../examples/calm/events.jsonl.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	ctx := context.Background()
	epochs := map[freshet.Partition]freshet.Epoch{}
	seen := map[freshet.Key]bool{}
	rec := rel.Project().Schema.NewRecord()
	lines := bufio.NewScanner(z)
	for offset := freshet.Offset(1); lines.Scan() && int(offset) <= n; offset++ {
		if err := rel.Project().Schema.Decode(lines.Bytes(), freshet.MaxTimestamp, rec); err != nil {
			tb.Fatal(err)
		}
		last = max(last, rec.EventTime)
		for _, kind := range rel.Kinds(rec.Type) {
			key, _ := rec.Key(kind)
			if kind == "user" && !seen[key] {
				seen[key] = true
				users = append(users, freshet.Entity{Kind: kind, Key: key})
			}
			partition := freshet.PartitionOf(key)
			if epochs[partition] == 0 {
				own, err := features.Acquire(ctx, partition, nil)
				if err != nil {
					tb.Fatal(err)
				}
				epochs[partition] = own.Epoch
			}
			var rows []freshet.Row
			for _, v := range rel.Route(rec.Type, kind).Views {
				old, _ := features.Get(ctx, nil, key, v.ID())
				data, _, err := v.Apply(v.NewScratch(), old[0].Data, rec, last)
				if err != nil {
					tb.Fatal(err)
				}
				rows = append(rows, freshet.Row{View: v.ID(), Key: key, Offset: offset, Data: data})
			}
			if err := features.Apply(ctx, partition, epochs[partition], offset, rows); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return users, last
}
