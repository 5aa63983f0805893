package onnxmodel_test

import (
	"strings"
	"testing"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/onnxmodel"
)

var runtimes = []modelruntime.Runtime{onnxmodel.ONNX{}}

// TestGolden compares with the answers of ONNX Runtime.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		if g.Format == "onnx" || strings.HasPrefix(g.Name, "onnx-") {
			t.Run(g.Name, func(t *testing.T) { g.Check(t, runtimes) })
			g.File = "." // the directory: weights may lie beside the model
			t.Run(g.Name+"/directory", func(t *testing.T) { g.Check(t, runtimes) })
		}
	}
}

func TestBad(t *testing.T) {
	modelruntimetest.RunBad(t, runtimes, "onnx")
}
