package modelruntimetest

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/modelruntime"
)

// badFile is one entry of models-bad/manifest.json.
type badFile struct {
	File   string `json:"file"`
	Format string `json:"format"`
	What   string `json:"what"`
	Expect string `json:"expect"` // error, error-or-answer
}

// The bounds of models-bad for one file.
const (
	badTime  = 5 * time.Second
	badBytes = 100 << 20
)

// RunBad opens every malformed file of the given formats; of all if none is given. Each must end in an error, or where the
// manifest allows it in an answer, in time and in little memory.
func RunBad(t *testing.T, runtimes []modelruntime.Runtime, formats ...string) {
	dir := filepath.Join(Fixtures(t), "models-bad")
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Entries []badFile `json:"entries"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, f := range manifest.Entries {
		if len(formats) > 0 && !slices.Contains(formats, f.Format) {
			continue
		}
		// Not in parallel: what is allocated is the process's.
		t.Run(f.File, func(t *testing.T) {
			begin, before := time.Now(), allocated()
			err := openAndAsk(filepath.Join(dir, f.File), runtimes)
			if took := time.Since(begin); took > badTime {
				t.Errorf("%s: took %s", f.What, took)
			}
			if used := allocated() - before; used > badBytes {
				t.Errorf("%s: allocated %d bytes", f.What, used)
			}
			if f.Expect == "error" && err == nil {
				t.Errorf("%s: answered", f.What)
			}
			if err != nil {
				t.Logf("%s: %v", f.What, err)
			}
		})
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// openAndAsk opens a file and predicts an ordinary row and one in which all is missing that may be: refusing another one is no fault of
// the file.
func openAndAsk(path string, runtimes []modelruntime.Runtime) error {
	m, err := modelruntime.OpenPath(path, runtimes)
	if err != nil {
		return err
	}
	defer m.Close()
	s := m.Signature()
	inputs, outputs := make([]float64, len(s.Inputs)), make([]float64, len(s.Outputs))
	for _, fill := range []float64{0.5, math.NaN()} {
		for i := range inputs {
			if inputs[i] = fill; s.Inputs[i].Required {
				inputs[i] = 0.5
			}
		}
		if err := m.Predict(context.Background(), inputs, outputs); err != nil {
			return err
		}
	}
	return nil
}
