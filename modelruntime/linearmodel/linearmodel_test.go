package linearmodel_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
)

const (
	logistic = `{"format": "freshet.linear/1", "description": {"by": ["anyone"]}, "link": "logit",
 "features": [{"name": "minutes", "mean": 12.5, "scale": 2, "missing": 10}, {"name": "hour"}],
 "coefficients": [[0.5, -0.25]], "intercept": [-0.5], "outputs": ["probability"]}`
	scores = `{"format": "freshet.linear/1", "link": "softmax", "features": [{"name": "a"}],
 "coefficients": [[1], [2], [-1]], "intercept": [0, 0.5, 1]}`
)

func open(text string) (modelruntime.Model, error) {
	return linearmodel.Linear{}.Open(fstest.MapFS{"m": {Data: []byte(text)}}, "m")
}

func TestConformance(t *testing.T) {
	modelruntimetest.Run(t, linearmodel.Linear{}, []modelruntimetest.Example{
		{Name: "logistic", File: []byte(logistic), Inputs: []string{"minutes", "hour"}, Required: []string{"hour"}, Outputs: []string{"probability"}},
		{Name: "softmax", File: []byte(scores), Inputs: []string{"a"}, Required: []string{"a"}, Outputs: []string{"class_0", "class_1", "class_2"}},
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	sigmoid := func(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
	total := math.Exp(2) + math.Exp(4.5) + math.Exp(-1)
	tests := []struct {
		text         string
		inputs, want []float64
	}{
		{logistic, []float64{14.5, 4}, []float64{sigmoid(-0.5 + 0.5*1 - 1)}},
		{logistic, []float64{math.NaN(), 4}, []float64{sigmoid(-0.5 - 0.5*1.25 - 1)}},
		{strings.Replace(logistic, "logit", "identity", 1), []float64{14.5, 4}, []float64{-1}},
		{scores, []float64{2}, []float64{math.Exp(2) / total, math.Exp(4.5) / total, math.Exp(-1) / total}},
		{scores, []float64{1e300}, []float64{0, 1, 0}}, // no overflow
	}
	for _, test := range tests {
		m, err := open(test.text)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, len(test.want))
		if err := m.Predict(context.Background(), test.inputs, got); err != nil {
			t.Fatal(err)
		}
		for k := range got {
			if !modelruntimetest.Close(got[k], test.want[k], 1e-15) {
				t.Errorf("%v: %v, expected %v", test.inputs, got, test.want)
			}
		}
	}
}

// TestRefused edits one place of a good model: the error names what is wrong.
func TestRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		old, new string
		code     freshet.Code
		mentions string
	}{
		{"freshet.linear/1", "freshet.linear/2", freshet.Unsupported, "freshet.linear/2"},
		{`"link"`, `"lunk"`, freshet.InvalidArgument, "lunk"},
		{`"link"`, `"Link"`, freshet.InvalidArgument, "Link"},
		{`"mean"`, `"median"`, freshet.InvalidArgument, "median"},
		{`"logit"`, `"probit"`, freshet.Unsupported, "probit"},
		{`"logit"`, `"softmax"`, freshet.InvalidArgument, "softmax"},
		{`0.5, -0.25`, `0.5, null`, freshet.InvalidArgument, "coefficients.0.1"},
		{`0.5, -0.25`, `0.5, "1"`, freshet.InvalidArgument, "coefficients.0.1"},
		{`0.5, -0.25`, `0.5, 1e400`, freshet.InvalidArgument, "coefficients.0.1"},
		{`0.5, -0.25`, `0.5, NaN`, freshet.InvalidArgument, "JSON"},
		{`0.5, -0.25`, `0.5`, freshet.InvalidArgument, "coefficients[0]"},
		{`"mean": 12.5`, `"mean": null`, freshet.InvalidArgument, "features.0.mean"},
		{`"scale": 2`, `"scale": 0`, freshet.InvalidArgument, "scale"},
		{`"hour"`, `"minutes"`, freshet.InvalidArgument, "minutes"},
		{`"hour"`, `""`, freshet.InvalidArgument, "name"},
		{`[-0.5]`, `[]`, freshet.InvalidArgument, "intercept"},
		{`["probability"]`, `["a", "b"]`, freshet.InvalidArgument, "outputs"},
		{`["probability"]`, `[""]`, freshet.InvalidArgument, "outputs"},
		{`"probability"]}`, `"probability"]} x`, freshet.InvalidArgument, "JSON"},
		{`["probability"]`, `["p"], "link": "identity"`, freshet.InvalidArgument, "duplicate"},
	}
	for _, test := range tests {
		text := strings.Replace(logistic, test.old, test.new, 1)
		if text == logistic {
			t.Fatalf("%q is not there", test.old)
		}
		_, err := open(text)
		if freshet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%q → %q: %v (code %s), expected %s and the words %q", test.old, test.new, err, freshet.CodeOf(err), test.code, test.mentions)
		}
	}
	deep := strings.Repeat("[", 20_000)
	if _, err := open(strings.Replace(logistic, "[[0.5", deep, 1)); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("%v: expected %s", err, freshet.InvalidArgument)
	}
}

// FuzzOpen: no bytes may panic, and what opens must answer.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(logistic))
	f.Add([]byte(scores))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := open(string(text))
		if err != nil {
			return
		}
		s := m.Signature()
		if err := m.Predict(context.Background(), make([]float64, len(s.Inputs)), make([]float64, len(s.Outputs))); err != nil {
			t.Fatal(err)
		}
	})
}
