package offlinemetrics

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/freshet-ml/freshet"
)

// Judged is one ranked list against what was relevant. hits[i] says whether place i+1 is relevant; an item that stands twice
// counts at its first place only.
type Judged struct {
	hits     []bool
	relevant int
}

// Judge compares list, best first, with the relevant items.
func Judge(list, relevant []freshet.Key) Judged {
	wanted := make(map[freshet.Key]bool, len(relevant))
	for _, k := range relevant {
		wanted[k] = true
	}
	j := Judged{relevant: len(wanted)}
	seen := make(map[freshet.Key]bool, len(list))
	for _, k := range list {
		if !seen[k] {
			seen[k] = true
			j.hits = append(j.hits, wanted[k])
		}
	}
	return j
}

func (j Judged) hitsAt(k int) (n int) {
	for _, hit := range j.hits[:min(k, len(j.hits))] {
		if hit {
			n++
		}
	}
	return n
}

// Precision is hits among the first k ÷ k, also if the list is shorter.
func (j Judged) Precision(k int) float64 { return float64(j.hitsAt(k)) / float64(k) }

// Recall is hits among the first k ÷ number of relevant items.
func (j Judged) Recall(k int) float64 { return float64(j.hitsAt(k)) / float64(j.relevant) }

// HitRate is 1 if one of the first k is relevant.
func (j Judged) HitRate(k int) float64 { return min(1, float64(j.hitsAt(k))) }

// NDCG is Σ hit/log2(place+1) over the first k ÷ the same sum with all relevant items in front.
func (j Judged) NDCG(k int) float64 {
	gain, ideal := 0.0, 0.0
	for i := range k {
		discounted := 1 / math.Log2(float64(i+2))
		if i < len(j.hits) && j.hits[i] {
			gain += discounted
		}
		if i < j.relevant {
			ideal += discounted
		}
	}
	return gain / ideal
}

// AveragePrecision is Σ precision at each hit ÷ number of relevant items, over the whole list.
func (j Judged) AveragePrecision() float64 { return j.precisions(len(j.hits)) / float64(j.relevant) }

// AveragePrecisionAt is the same over the first k, ÷ min(relevant, k).
func (j Judged) AveragePrecisionAt(k int) float64 {
	return j.precisions(k) / float64(min(j.relevant, k))
}

func (j Judged) precisions(k int) (sum float64) {
	hits := 0
	for i, hit := range j.hits[:min(k, len(j.hits))] {
		if hit {
			hits++
			sum += float64(hits) / float64(i+1)
		}
	}
	return sum
}

// ReciprocalRank is 1 ÷ place of the first hit, 0 without one.
func (j Judged) ReciprocalRank() float64 {
	i := slices.Index(j.hits, true)
	if i < 0 {
		return 0
	}
	return 1 / float64(i+1)
}

// GradedNDCG is NDCG at k of a list whose items have the relevances given, best first: the gain is 2^relevance − 1
// (exponential) or the relevance itself. The ideal is the same relevances in descending order. NaN if all are 0.
func GradedNDCG(relevances []float64, k int, exponential bool) float64 {
	gain := func(list []float64) (sum float64) {
		for i, r := range list[:min(k, len(list))] {
			if exponential {
				r = math.Exp2(r) - 1
			}
			sum += r / math.Log2(float64(i+2))
		}
		return sum
	}
	ideal := slices.Clone(relevances)
	slices.SortFunc(ideal, func(a, b float64) int { return cmp.Compare(b, a) })
	return gain(relevances) / gain(ideal)
}

// Ranking gathers the lists of many users. The value of a metric is the mean over users; users without a relevant item are
// left out and counted.
type Ranking struct {
	ks      []int
	users   map[freshet.Key]Judged
	shown   []map[freshet.Key]bool // for each k the items of all lists
	skipped int
}

// NewRanking returns an empty Ranking for the cut-offs ks, each at least 1.
func NewRanking(ks ...int) *Ranking {
	r := &Ranking{ks: slices.Clone(ks), users: map[freshet.Key]Judged{}}
	for range ks {
		r.shown = append(r.shown, map[freshet.Key]bool{})
	}
	return r
}

// Add judges the list of one user, best first. A second list of the same user replaces the first one's values.
func (r *Ranking) Add(user freshet.Key, list, relevant []freshet.Key) {
	if len(relevant) == 0 {
		r.skipped++
		return
	}
	r.users[user] = Judge(list, relevant)
	for i, k := range r.ks {
		for _, item := range list[:min(k, len(list))] {
			r.shown[i][item] = true
		}
	}
}

// Merge adds what another Ranking of the same cut-offs has gathered about other users.
func (r *Ranking) Merge(other *Ranking) {
	maps.Copy(r.users, other.users)
	for i := range r.ks {
		maps.Copy(r.shown[i], other.shown[i])
	}
	r.skipped += other.skipped
}

// Users is how many users count, Skipped how many had no relevant item.
func (r *Ranking) Users() int { return len(r.users) }

// Skipped is how many users were left out because nothing was relevant to them.
func (r *Ranking) Skipped() int { return r.skipped }

// Values are the metrics by name: "recall@10", "precision@10", "hit_rate@10", "ndcg@10", "map@10" for each cut-off, "map" and
// "mrr". Each has a bootstrap interval over users that seed starts.
func (r *Ranking) Values(seed uint64) map[string]Interval {
	order := slices.Sorted(maps.Keys(r.users)) // so that sums do not depend on who came first
	over := func(value func(Judged) float64) Interval {
		values := make([]float64, len(order))
		for i, user := range order {
			values[i] = value(r.users[user])
		}
		return Bootstrap(values, seed)
	}
	all := map[string]Interval{
		"map": over(Judged.AveragePrecision),
		"mrr": over(Judged.ReciprocalRank),
	}
	for _, k := range r.ks {
		all[At("precision", k)] = over(func(j Judged) float64 { return j.Precision(k) })
		all[At("recall", k)] = over(func(j Judged) float64 { return j.Recall(k) })
		all[At("hit_rate", k)] = over(func(j Judged) float64 { return j.HitRate(k) })
		all[At("ndcg", k)] = over(func(j Judged) float64 { return j.NDCG(k) })
		all[At("map", k)] = over(func(j Judged) float64 { return j.AveragePrecisionAt(k) })
	}
	return all
}

// At is the name of a metric with a cut-off: "recall@10".
func At(metric string, k int) string { return metric + "@" + strconv.Itoa(k) }

// Coverage is the share of a catalogue of that many items which appears in the first ks[i] of any list, for each cut-off.
func (r *Ranking) Coverage(catalogue int) []float64 {
	shares := make([]float64, len(r.ks))
	for i := range shares {
		shares[i] = float64(len(r.shown[i])) / float64(catalogue)
	}
	return shares
}
