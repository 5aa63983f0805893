package diskpredictions

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/predictionstore"
)

func goldenPrediction() freshet.Prediction {
	return freshet.Prediction{
		Items:     []freshet.Item{{ID: "c17", Score: 0.5}},
		Outputs:   map[string]float64{"p": 1, "a": math.Inf(1)},
		Release:   "r12",
		Model:     "m@7",
		EventID:   "e1",
		Cause:     freshet.Place{Partition: 3, Offset: 9120},
		EventTime: 1_741_003_200_000,
		CreatedAt: 1_741_003_200_123,
		ExpiresAt: 1_741_003_201_000,
		Fallback:  true,
		Explanation: &freshet.Explanation{
			Names:  []string{"x", ""},
			Inputs: [][]float64{{2, -2}},
		},
	}
}

// TestGolden: these bytes are those of docs/formats/prediction.md and lie on users' disks. They never change.
func TestGolden(t *testing.T) {
	t.Parallel()
	if got, want := hex.EncodeToString(appendEntityKey(nil, freshet.Entity{Kind: "user", Key: "u\x001"})), "707573657200017500ff310001"; got != want {
		t.Errorf("key prefix is\n%s, want\n%s", got, want)
	}
	p := goldenPrediction()
	want := strings.Join([]string{
		"01", "06", "a147", "f6d984beab65", "3c", // version, flags, newest cause 9121, created at, 60 bytes of body
		"03", "a047", "80d884beab65", "d0e784beab65", // cause, event time, expires at
		"03723132", "036d4037", "026531", // release, model, event id
		"01", "03633137", "000000000000e03f", // items
		"02", "0161", "000000000000f07f", "0170", "000000000000f03f", // outputs
		"02", "0178", "00", "01", "02", "0000000000000040", "00000000000000c0", // explanation
	}, "")
	value := appendPrediction(nil, &p, predictionstore.Version{Cause: 9121, CreatedAt: p.CreatedAt})
	if got := hex.EncodeToString(value); got != want {
		t.Errorf("value is\n%s, want\n%s", got, want)
	}
	got, v, err := decodePrediction(value, true)
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("read %+v (%v), want %+v", got, err, p)
	}
	if v.Cause != 9121 || v.CreatedAt != p.CreatedAt || v.Asked {
		t.Errorf("version is %+v", v)
	}
	p.Explanation = nil
	if got, _, err := decodePrediction(value, false); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("read %+v (%v), want %+v", got, err, p)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	p := goldenPrediction()
	good := appendPrediction(nil, &p, predictionstore.VersionOf(&p))
	for cut := range good {
		if _, _, err := decodePrediction(good[:cut], true); freshet.CodeOf(err) != freshet.Internal {
			t.Errorf("%d bytes: %v", cut, err)
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"version":        func(b []byte) []byte { b[0] = 2; return b },
		"flags":          func(b []byte) []byte { b[1] = 1 << 7; return b },
		"no explanation": func(b []byte) []byte { b[1] &^= flagExplained; return b },
		"tail":           func(b []byte) []byte { return append(b, 0) },
		"huge body":      func([]byte) []byte { return []byte("\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
	} {
		if _, _, err := decodePrediction(change(bytes.Clone(good)), true); freshet.CodeOf(err) != freshet.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGetDoesNotPayForTheExplanation: an explanation of 340 values costs a plain read nothing.
func TestGetDoesNotPayForTheExplanation(t *testing.T) {
	p := goldenPrediction()
	plain := p
	plain.Explanation = nil
	for range 1000 {
		p.Explanation.Inputs = append(p.Explanation.Inputs, []float64{1, 2})
	}
	allocations := func(p freshet.Prediction) float64 {
		value := appendPrediction(nil, &p, predictionstore.VersionOf(&p))
		return alloctest.PerRun(100, func() { _, _, _ = decodePrediction(value, false) })
	}
	if with, without := allocations(p), allocations(plain); with != without {
		t.Errorf("%v allocations with an explanation, %v without", with, without)
	}
}

// FuzzDecode: whatever the bytes, an error or a prediction that is written the same way again after a second reading.
func FuzzDecode(f *testing.F) {
	p := goldenPrediction()
	f.Add(appendPrediction(nil, &p, predictionstore.VersionOf(&p)))
	p.Explanation, p.Cause = nil, freshet.Place{}
	f.Add(appendPrediction(nil, &p, predictionstore.VersionOf(&p)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, v, err := decodePrediction(b, true)
		if err != nil {
			return
		}
		once := appendPrediction(nil, &p, v)
		again, w, err := decodePrediction(once, true)
		if err != nil || v != w {
			t.Fatalf("%x: %v, version %+v, want %+v", once, err, w, v)
		}
		if twice := appendPrediction(nil, &again, w); !bytes.Equal(once, twice) {
			t.Fatalf("%x is written again as %x", once, twice)
		}
	})
}
