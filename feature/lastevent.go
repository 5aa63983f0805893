package feature

import "github.com/freshet-ml/freshet"

// LastEventTime is the event time of the newest event in a row: the first moment at which Read answers from it. data is
// not nil.
func (v *View) LastEventTime(data []byte) (freshet.Timestamp, error) {
	h, _, err := v.readHeader(data)
	return freshet.Timestamp(h.last), err
}
