package feature

import (
	"math"

	"github.com/freshet-ml/freshet"
)

// A row is a header and its panes, newest first (docs/formats/row.md). A pane is what the windows of the view see as one:
// an aligned tile, a session, the life of the entity, one event. Its body is the encoded cells of the view.

const (
	rowVersion      = 1
	sweptRowVersion = 2 // the same, with the moment of a sweep in the header
)

// header is what stands before the panes.
type header struct {
	last    int64 // time of the newest event in the row
	swept   int64 // what the row knows nothing about lies before this moment (see sweep.go); 0 if there is none
	dropped int64 // of session views: the latest end of a session that is no longer kept; noSession if none
	panes   int   // of views over the last N events: how many there are
}

const noSession = math.MinInt64

func (v *View) appendHeader(dst []byte, h header) []byte {
	if h.swept > 0 {
		dst = appendUvarint(appendUvarint(append(dst, sweptRowVersion), uint64(h.last)), uint64(h.swept))
	} else {
		dst = appendUvarint(append(dst, rowVersion), uint64(h.last))
	}
	switch v.kind {
	case session:
		if h.dropped == noSession {
			return append(dst, 0)
		}
		return appendUvarint(dst, uint64(h.dropped)+1)
	case lastN:
		return appendUvarint(dst, uint64(h.panes))
	}
	return dst
}

func (v *View) readHeader(data []byte) (h header, rest []byte, err error) {
	if len(data) == 0 || data[0] != rowVersion && (data[0] != sweptRowVersion || !v.Removable()) {
		return h, nil, v.corrupt()
	}
	last, rest, ok := readTime(data[1:])
	if !ok {
		return h, nil, v.corrupt()
	}
	h = header{last: last, dropped: noSession}
	if data[0] == sweptRowVersion {
		if h.swept, rest, ok = readTime(rest); !ok || h.swept == 0 {
			return h, nil, v.corrupt()
		}
	}
	switch v.kind {
	case session:
		var after int64
		if after, rest, ok = readTime(rest); ok && after > 0 {
			h.dropped = after - 1
		}
	case lastN:
		var n uint64
		n, rest, ok = readUvarint(rest)
		ok = ok && n <= maxEvents
		h.panes = int(n)
	}
	if !ok {
		return h, nil, v.corrupt()
	}
	return h, rest, nil
}

// known is the first moment for which the row has all that is needed.
func (h *header) known() int64 { return max(h.last, h.swept) }

func (v *View) corrupt() error {
	return freshet.Errorf(freshet.Internal, "view %s: a row cannot be read: its bytes are not those of this view", v.name)
}

// appendPane writes the cells as a body, with its length in front.
func (v *View) appendPane(s *Scratch, dst []byte, at anchor) []byte {
	s.body = s.body[:0]
	for _, c := range s.cells {
		s.body = c.append(s.body, at)
	}
	return appendBytes(dst, s.body)
}

// absorb adds the cells of a body to those of the scratch.
func (v *View) absorb(s *Scratch, body []byte, at anchor) error {
	ok := true
	for _, c := range s.cells {
		if body, ok = c.absorb(body, at); !ok {
			return v.corrupt()
		}
	}
	if len(body) > 0 {
		return v.corrupt()
	}
	return nil
}

// finished copies a new row out of the scratch: rows are kept, the scratch is used again.
func finished(row []byte) []byte {
	next := make([]byte, len(row))
	copy(next, row)
	return next
}
