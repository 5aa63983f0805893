package crash_test

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/internal/disk"
)

// checkUsers compares what the server says about every user with brute force over the acknowledged events, and returns
// the newest predictions.
func checkUsers(t *testing.T, c *client.Client, s *sender) map[freshet.Key]client.Prediction {
	t.Helper()
	of := map[int][]event{}
	for _, e := range s.acked {
		of[e.user] = append(of[e.user], e)
	}
	predictions := map[freshet.Key]client.Prediction{}
	for user, events := range of {
		name := fmt.Sprint("u", user)
		entity := map[string]string{"user_id": name}
		for view, want := range expected(events, s.now) {
			got, err := c.GetFeatures(t.Context(), view, entity, &client.FeatureOptions{At: s.now.Time()})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Features, want) {
				t.Errorf("%s of %s is %v, the %d acknowledged events give %v", view, name, got.Features, len(events), want)
			}
		}
		p, err := c.GetPrediction(t.Context(), client.User(name), "risk", &client.PredictionOptions{Explain: true})
		if err != nil {
			t.Fatalf("the prediction of %s: %v", name, err)
		}
		checkPrediction(t, name, p, expected(events, s.now)["total"])
		predictions[freshet.Key(name)] = p
	}
	return predictions
}

// expected are the features of one user at a moment, by view.
func expected(events []event, at freshet.Timestamp) map[freshet.ViewName]map[string]any {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b event) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.id, a.id)) }) // newest first
	exact := new(big.Float).SetPrec(500)
	cents, visitN, visitCents := 0, 0, 0
	refs := []any{}
	end, open := at, true
	for _, e := range events {
		exact.Add(exact, new(big.Float).SetFloat64(e.amount))
		cents += e.cents
		if len(refs) < 3 {
			refs = append(refs, e.id)
		}
		open = open && end.Sub(e.at) <= 30*time.Minute // else the visit began after this event
		if open {
			end = e.at
			visitN++
			visitCents += e.cents
		}
	}
	amount, _ := exact.Float64()
	return map[freshet.ViewName]map[string]any{
		"total":  {"n": float64(len(events)), "amount": amount, "cents": float64(cents)},
		"newest": {"ref": refs[0], "refs": refs},
		"visit":  {"visit_n": float64(visitN), "visit_cents": float64(visitCents)},
	}
}

// checkPrediction expects that the prediction was made from the final features: it was caused by the user's last event,
// and nothing has come later.
func checkPrediction(t *testing.T, name string, p client.Prediction, total map[string]any) {
	t.Helper()
	if len(p.Items) != 1 || p.Offset == nil {
		t.Fatalf("the prediction of %s is %+v", name, p)
	}
	inputs := map[string]any{}
	for column, x := range p.Items[0].Inputs {
		inputs[column] = *x
	}
	if !reflect.DeepEqual(inputs, total) {
		t.Errorf("the prediction of %s was made from %v, the features are %v", name, inputs, total)
	}
	want := total["n"].(float64) + 2*total["amount"].(float64) + 4*total["cents"].(float64)
	if score := p.Items[0].Score; math.Abs(score-want) > 1e-12*want {
		t.Errorf("the prediction of %s is %v, its inputs give %v", name, score, want)
	}
}

// checkLog reads the log that a killed server has left: it holds the acknowledged events, each once, and the newest
// prediction of a user was caused by the last of his.
func checkLog(t *testing.T, data string, s *sender, predictions map[freshet.Key]client.Prediction) {
	t.Helper()
	db, err := disk.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := disklog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := eventlog.New(d)
	defer func() {
		if err := cmp.Or(l.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}()
	times := map[freshet.EventID]int{}
	last := map[freshet.Key]eventlog.Record{}
	for p := range freshet.Partition(freshet.Partitions) {
		for o := freshet.Offset(1); o <= l.Head(p); {
			records, err := l.Read(t.Context(), nil, p, o, 1000)
			if err != nil || len(records) == 0 {
				t.Fatalf("partition %d from %d: %d events, %v", p, o, len(records), err)
			}
			for _, r := range records {
				times[r.Event.ID]++
				last[r.Entity.Key] = r
			}
			o = records[len(records)-1].Offset + 1
		}
	}
	for _, e := range s.acked {
		if n := times[freshet.EventID(e.id)]; n != 1 {
			t.Errorf("the acknowledged event %s is in the log %d times", e.id, n)
		}
	}
	if len(times) != len(s.acked) {
		t.Errorf("the log holds %d events, %d were acknowledged", len(times), len(s.acked))
	}
	for key, r := range last {
		p := predictions[key]
		if want := (freshet.Place{Partition: freshet.PartitionOf(key), Offset: r.Offset}); p.EventID != r.Event.ID || *p.Offset != want {
			t.Errorf("the newest prediction of %s was caused by %s at %v, his last event is %s at %v", key, p.EventID, *p.Offset, r.Event.ID, want)
		}
	}
}
