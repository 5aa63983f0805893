package diskpredictions_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/predictionstore/diskpredictions"
)

const benchUsers = 100_000

func benchUser(i int) freshet.Entity {
	return freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprintf("user-%d", i%benchUsers))}
}

// benchPrediction is a list of 20 items, with the 17 inputs of each if explained.
func benchPrediction(i int, explained bool) freshet.Prediction {
	p := freshet.Prediction{
		Pipeline: "today", Entity: benchUser(i), Release: "r12", Model: "ranker@7", EventID: "0123456789abcdef0123456789abcdef",
		Cause: freshet.Place{Offset: freshet.Offset(i + 1)}, EventTime: 1_741_003_200_000, CreatedAt: 1_741_003_200_000,
	}
	for n := range 20 {
		p.Items = append(p.Items, freshet.Item{ID: freshet.Key(fmt.Sprintf("content-%d", n)), Score: 1 / float64(n+1)})
	}
	if !explained {
		return p
	}
	p.Explanation = &freshet.Explanation{}
	for n := range 17 {
		p.Explanation.Names = append(p.Explanation.Names, fmt.Sprintf("feature_%d", n))
	}
	for range p.Items {
		p.Explanation.Inputs = append(p.Explanation.Inputs, make([]float64, 17))
	}
	return p
}

func benchStore(b *testing.B, explained bool, pipelines int) *diskpredictions.Store {
	b.Helper()
	db := openDisk(b, b.TempDir(), vfs.Default)
	s := diskpredictions.New(db, nil)
	b.Cleanup(func() {
		must(b, s.Close())
		must(b, db.Close())
	})
	for i := range benchUsers * pipelines {
		p := benchPrediction(i, explained)
		p.Pipeline = freshet.PipelineName(fmt.Sprintf("pipeline_%d", i/benchUsers))
		_, err := s.Put(b.Context(), p)
		must(b, err)
	}
	return s
}

func BenchmarkPut(b *testing.B) {
	for _, explained := range []bool{false, true} {
		b.Run(fmt.Sprintf("explained=%t", explained), func(b *testing.B) {
			s := benchStore(b, false, 0)
			p := benchPrediction(0, explained)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				p.Entity, p.Cause.Offset = benchUser(i*7919), freshet.Offset(i)
				_, err := s.Put(b.Context(), p)
				must(b, err)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, explained := range []bool{false, true} {
		b.Run(fmt.Sprintf("kept explained=%t", explained), func(b *testing.B) {
			s := benchStore(b, explained, 1)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				_, err := s.Get(b.Context(), benchUser(i*7919), "pipeline_0")
				must(b, err)
			}
		})
	}
}

func BenchmarkList(b *testing.B) {
	s := benchStore(b, false, 3)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		list, err := s.List(b.Context(), benchUser(i*7919))
		must(b, err)
		if len(list) != 3 {
			b.Fatalf("%d predictions", len(list))
		}
	}
}
