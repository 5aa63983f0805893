package cli

import (
	"testing"

	"github.com/freshet-ml/freshet/internal/trainingset"
)

func TestExportLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		p    trainingset.Progress
		want string
	}{
		{trainingset.Progress{Rows: 12_500}, "12,500 rows read"},
		{trainingset.Progress{Rows: 20, Events: 250, Total: 1000}, "[######------------------]  25 %  250 of 1,000 events"},
		{trainingset.Progress{Rows: 20, Events: 1001, Total: 1000}, "[########################] 100 %  1,001 of 1,000 events"},
		{trainingset.Progress{Rows: 20, Events: 1000, Total: 1000, Written: 10}, "[############------------]  50 %  10 of 20 rows written"},
	} {
		if got := exportLine(tt.p); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.p, got, tt.want)
		}
	}
}
