package releases_test

import (
	"testing"

	"github.com/freshet-ml/freshet/internal/binarytest"
)

var binary binarytest.Builder

func TestMain(m *testing.M) { binary.Main(m) }
