package offlinemetrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/freshet-ml/freshet"
)

func keys(names ...int) (list []freshet.Key) {
	for _, n := range names {
		list = append(list, freshet.Key(fmt.Sprint(n)))
	}
	return list
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6 || math.IsNaN(got) {
		t.Errorf("%s: %.7f, expected %.6f", what, got, want)
	}
}

// golden is the set of Spark's documentation of RankingMetrics, with the values of a plain program.
func golden() *Ranking {
	r := NewRanking(1, 2, 3, 5, 10, 15)
	r.Add("u1", keys(1, 6, 2, 7, 8, 3, 9, 10, 4, 5), keys(1, 2, 3, 4, 5))
	r.Add("u2", keys(4, 1, 5, 6, 2, 7, 3, 8, 9, 10), keys(1, 2, 3))
	r.Add("u3", keys(1, 2, 3, 4, 5), nil)
	return r
}

func TestRankingGolden(t *testing.T) {
	t.Parallel()
	r := golden()
	if r.Users() != 2 || r.Skipped() != 1 {
		t.Errorf("%d users, %d skipped", r.Users(), r.Skipped())
	}
	values := r.Values(1)
	for _, want := range []struct {
		metric       string
		mean, u1, u2 float64
	}{
		{"precision@1", 0.5, 1, 0},
		{"precision@5", 0.4, 0.4, 0.4},
		{"precision@15", 0.266667, 0.333333, 0.2},
		{"recall@1", 0.1, 0.2, 0},
		{"recall@5", 0.533333, 0.4, 0.666667},
		{"recall@15", 1, 1, 1},
		{"hit_rate@1", 0.5, 1, 0},
		{"hit_rate@3", 1, 1, 1},
		{"ndcg@3", 0.5, 0.703918, 0.296082},
		{"ndcg@5", 0.493182, 0.508740, 0.477624},
		{"ndcg@10", 0.731869, 0.829688, 0.634050},
		{"map", 0.532540, 0.622222, 0.442857},
		{"map@1", 0.5, 1, 0},
		{"map@2", 0.375, 0.5, 0.25},
		{"mrr", 0.75, 1, 0.5},
	} {
		got := values[want.metric]
		near(t, want.metric, got.Mean, want.mean)
		if got.Low > got.Mean || got.High < got.Mean || got.Low < min(want.u1, want.u2)-1e-6 || got.High > max(want.u1, want.u2)+1e-6 {
			t.Errorf("%s: interval %v … %v around %v", want.metric, got.Low, got.High, got.Mean)
		}
	}
	near(t, "coverage@1", r.Coverage(10)[0], 0.2)
	near(t, "coverage@10", r.Coverage(10)[4], 1)
}

func TestShardsAndOrderChangeNoBit(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	whole, even, odd, reversed := NewRanking(3, 10), NewRanking(3, 10), NewRanking(3, 10), NewRanking(3, 10)
	type ask struct {
		user           freshet.Key
		list, relevant []freshet.Key
	}
	var asks []ask
	for u := range 100 {
		asks = append(asks, ask{freshet.Key(fmt.Sprint("u", u)), keys(random.Perm(20)...), keys(random.Perm(20)[:random.IntN(4)]...)})
	}
	for i, a := range asks {
		whole.Add(a.user, a.list, a.relevant)
		[]*Ranking{even, odd}[i%2].Add(a.user, a.list, a.relevant)
		last := asks[len(asks)-1-i]
		reversed.Add(last.user, last.list, last.relevant)
	}
	odd.Merge(even)
	for what, other := range map[string]*Ranking{"shards": odd, "reversed": reversed} {
		if !reflect.DeepEqual(whole.Values(3), other.Values(3)) || whole.Skipped() != other.Skipped() || !reflect.DeepEqual(whole.Coverage(20), other.Coverage(20)) {
			t.Errorf("%s: other values", what)
		}
	}
}

func TestListsOfAnyShape(t *testing.T) {
	t.Parallel()
	twice := Judge(keys(1, 1, 2), keys(2, 3))
	near(t, "a repeated item counts at its first place", twice.ReciprocalRank(), 0.5)
	near(t, "k beyond the list", twice.Recall(10), 0.5)
	near(t, "k beyond the list", twice.Precision(10), 0.1)
	empty := Judge(nil, keys(1))
	for what, got := range map[string]float64{"ndcg": empty.NDCG(5), "map": empty.AveragePrecision(), "mrr": empty.ReciprocalRank(), "hits": empty.HitRate(3)} {
		near(t, "empty list: "+what, got, 0)
	}
	if none := NewRanking(1).Values(1)["mrr"]; !math.IsNaN(none.Mean) {
		t.Errorf("no users: %v, expected NaN", none)
	}
}

func TestGradedNDCG(t *testing.T) {
	t.Parallel()
	for _, want := range []struct {
		list        []float64
		k           int
		exp, linear float64
	}{
		{[]float64{1, 3, 0, 2}, 2, 0.609090, 0.678762},
		{[]float64{1, 3, 0, 2}, 4, 0.714222, 0.788377},
		{[]float64{3, 2, 0, 1}, 2, 1, 1},
		{[]float64{3, 2, 0, 1}, 4, 0.992620, 0.985442},
	} {
		near(t, fmt.Sprint("exponential ", want.list, want.k), GradedNDCG(want.list, want.k, true), want.exp)
		near(t, fmt.Sprint("linear ", want.list, want.k), GradedNDCG(want.list, want.k, false), want.linear)
	}
	if v := GradedNDCG([]float64{0, 0}, 2, true); !math.IsNaN(v) {
		t.Errorf("nothing relevant: %v, expected NaN", v)
	}
}

func TestClassification(t *testing.T) {
	t.Parallel()
	y, p := []float64{1, 0, 1, 0, 1, 0}, []float64{.9, .8, .7, .7, .3, .1}
	value := func(v float64, err error) float64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	near(t, "auc", value(AUC(y, p)), 0.611111)
	near(t, "auc of user a", value(AUC([]float64{1, 0, 1}, []float64{.9, .4, .3})), 0.5)
	near(t, "auc of user b", value(AUC([]float64{0, 1}, []float64{.6, .7})), 1)
	near(t, "logloss", value(LogLoss(y, p)), 0.764130)
	near(t, "logloss of 0 for 1", value(LogLoss([]float64{1}, []float64{0})), 34.538776)
	if got := value(LogLoss([]float64{0}, []float64{0})); math.Abs(got-1e-15) > 1e-20 {
		t.Errorf("logloss of 0 for 0: %v, expected 1e-15", got)
	}
	near(t, "ece", value(ECE(y, p, 5)), 0.316667)
	near(t, "brier", value(Brier([]float64{1, 0}, []float64{.5, 1})), 0.625)
	for _, labels := range [][]float64{{1, 1}, {0, 0}} {
		if _, err := AUC(labels, []float64{.1, .2}); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("auc of one class: %v", err)
		}
	}
	if _, err := LogLoss([]float64{1}, nil); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("no predictions: %v", err)
	}
}

func TestRegression(t *testing.T) {
	t.Parallel()
	y, p := []float64{3, -0.5, 2, 7}, []float64{2.5, 0, 2, 8}
	for _, want := range []struct {
		what  string
		f     func(y, p []float64) (float64, error)
		value float64
	}{{"rmse", RMSE, 0.612372}, {"mae", MAE, 0.5}, {"r2", R2, 0.948608}} {
		got, err := want.f(y, p)
		if err != nil {
			t.Fatal(err)
		}
		near(t, want.what, got, want.value)
		if _, err := want.f(y, p[1:]); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s of unequal lists: %v", want.what, err)
		}
	}
	for guess, want := range map[float64]float64{2: 1, 3: 0} {
		got, _ := R2([]float64{2, 2}, []float64{guess, guess})
		near(t, "r2 of equal labels", got, want)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	near(t, "psi", PSI([]float64{.25, .25, .25, .25}, []float64{.4, .3, .2, .1}), 0.228217)
	ks, err := KS([]float64{1, 2, 3, 4}, []float64{2, 3, 4, 5})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "ks", ks, 0.25)
	if _, err := KS(nil, []float64{1}); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("ks of nothing: %v", err)
	}
	var values []float64
	for i := range 1000 {
		values = append(values, float64(i))
	}
	bounds := Bins(values, 10)
	for i, share := range Shares(values, bounds) {
		if math.Abs(share-0.1) > 0.002 {
			t.Errorf("bin %d of %v holds %v, expected a tenth", i, bounds, share)
		}
	}
	if psi := PSI(Shares(values, bounds), Shares(values[:100], bounds)); psi < PSIAlarm {
		t.Errorf("all in the first bin: psi %v", psi)
	}
	if got := Bins([]float64{5, 5, 5}, 10); len(got) != 0 {
		t.Errorf("bins of one value: %v", got)
	}
	constant := make([]float64, 1000)
	if !Constant(constant) || Constant(values) {
		t.Error("constant values were not told from others")
	}
	constant[0], constant[1], constant[2] = 1, 2, 3
	if !Constant(constant) {
		t.Error("99.7 % of one value is constant")
	}
}

func TestBootstrapRepeats(t *testing.T) {
	t.Parallel()
	values := []float64{1, 0, 0, 1, 1, 0, 1}
	if Bootstrap(values, 5) != Bootstrap(values, 5) || Bootstrap(values, 5) == Bootstrap(values, 6) {
		t.Error("the seed does not decide")
	}
}
