package feature

import "github.com/freshet-ml/freshet"

// Since is the first event time that the values at a moment can depend on: of events before it Compute needs none. It is
// freshet.MinTimestamp where any event may count.
func (v *View) Since(at freshet.Timestamp) freshet.Timestamp {
	since := at
	for i := range v.windows {
		since = min(since, freshet.Timestamp(max(v.windows[i].low(int64(at)), int64(freshet.MinTimestamp))))
	}
	return since
}

// Sessions says whether the view has a session window: then what an event does depends on the order of the log.
func (v *View) Sessions() bool { return v.kind == session }
