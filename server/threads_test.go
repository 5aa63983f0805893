package server

import "testing"

func TestThreads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ now, cores, want int }{
		{1, 1, 2}, {2, 2, 4}, {3, 3, 4}, {4, 4, 4}, {16, 16, 16}, // all of the machine
		{1, 2, 1}, {2, 64, 2}, // a quota
		{4, 2, 4}, // set once already
	} {
		if got := threads(c.now, c.cores); got != c.want {
			t.Errorf("%d threads on %d cores become %d, expected %d", c.now, c.cores, got, c.want)
		}
	}
}
