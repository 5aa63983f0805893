package diskpredictions

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/record"
	"github.com/freshet-ml/freshet/predictionstore"
)

// Keys and values are described in docs/formats/prediction.md.

const predictionVersion = 1

const (
	flagAsked     = 1 << 0 // no event caused it
	flagFallback  = 1 << 1
	flagExplained = 1 << 2
	flagCause     = 1 << 3 // the body says why the fallback answered
	flagTexts     = 1 << 4 // the explanation has texts and a reason
	allFlags      = flagAsked | flagFallback | flagExplained | flagCause | flagTexts
)

// appendEntityKey is the prefix of all predictions of e and of no other entity's.
func appendEntityKey(dst []byte, e freshet.Entity) []byte {
	dst = append(dst, disk.PrefixPredictions)
	dst = record.AppendKeyText(dst, e.Kind)
	return record.AppendKeyText(dst, e.Key)
}

// head is the beginning of a record: what a Put looks at.
type head struct {
	version   predictionstore.Version
	flags     byte
	bodyBytes int
}

func appendPrediction(dst []byte, p *freshet.Prediction, v predictionstore.Version) []byte {
	var flags byte
	if v.Asked {
		flags |= flagAsked
	}
	if p.Fallback {
		flags |= flagFallback
	}
	if p.FallbackCause != "" {
		flags |= flagCause
	}
	if x := p.Explanation; x != nil {
		flags |= flagExplained
		if len(x.Texts) > 0 || x.Reason != "" {
			flags |= flagTexts
		}
	}
	var stack [1024]byte
	body := appendBody(stack[:0], p)
	dst = append(dst, predictionVersion, flags)
	dst = binary.AppendUvarint(dst, uint64(v.Cause))
	dst = binary.AppendVarint(dst, int64(p.CreatedAt))
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	dst = append(dst, body...)
	if p.Explanation != nil {
		dst = appendExplanation(dst, p.Explanation)
	}
	return dst
}

func appendBody(dst []byte, p *freshet.Prediction) []byte {
	dst = append(dst, byte(p.Cause.Partition))
	dst = binary.AppendUvarint(dst, uint64(p.Cause.Offset))
	dst = binary.AppendVarint(dst, int64(p.EventTime))
	dst = binary.AppendVarint(dst, int64(p.ExpiresAt))
	dst = record.AppendText(dst, p.Release)
	dst = record.AppendText(dst, p.Model)
	dst = record.AppendText(dst, p.EventID)
	dst = binary.AppendUvarint(dst, uint64(len(p.Items)))
	for _, it := range p.Items {
		dst = record.AppendText(dst, it.ID)
		dst = record.AppendFloat(dst, it.Score)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Outputs)))
	for _, name := range slices.Sorted(maps.Keys(p.Outputs)) {
		dst = record.AppendText(dst, name)
		dst = record.AppendFloat(dst, p.Outputs[name])
	}
	if p.FallbackCause != "" {
		dst = record.AppendText(dst, p.FallbackCause)
	}
	return dst
}

func appendExplanation(dst []byte, x *freshet.Explanation) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(x.Names)))
	for _, name := range x.Names {
		dst = record.AppendText(dst, name)
	}
	dst = binary.AppendUvarint(dst, uint64(len(x.Inputs)))
	for _, in := range x.Inputs {
		dst = binary.AppendUvarint(dst, uint64(len(in)))
		for _, f := range in {
			dst = record.AppendFloat(dst, f)
		}
	}
	if len(x.Texts) > 0 || x.Reason != "" {
		dst = appendTexts(dst, x)
	}
	return dst
}

func appendTexts(dst []byte, x *freshet.Explanation) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(x.Texts)))
	for _, column := range slices.Sorted(maps.Keys(x.Texts)) {
		dst = record.AppendText(dst, column)
		dst = binary.AppendUvarint(dst, uint64(len(x.Texts[column])))
		for _, text := range x.Texts[column] {
			dst = record.AppendText(dst, text)
		}
	}
	return record.AppendText(dst, x.Reason)
}

func unreadable(value []byte) error {
	return freshet.Errorf(freshet.Internal, "stored prediction of %d bytes: not readable as version %d", len(value), predictionVersion)
}

// decodeHead reads the beginning of value and returns what follows it: the body, which is whole, and the explanation. It
// copies only the beginning.
func decodeHead(value []byte) (h head, rest []byte, err error) {
	const longest = 2 + 3*binary.MaxVarintLen64
	front := value[:min(len(value), longest)]
	r := record.NewReader(string(front))
	format, flags := r.Byte(), r.Byte()
	h = head{flags: flags, version: predictionstore.Version{
		Cause:     freshet.Offset(r.Uvarint()),
		CreatedAt: freshet.Timestamp(r.Varint()),
		Asked:     flags&flagAsked != 0,
	}}
	bodyBytes := r.Uvarint()
	rest = value[len(front)-len(r.Rest()):]
	if r.Bad() || format != predictionVersion || flags&^allFlags != 0 || bodyBytes > uint64(len(rest)) {
		return head{}, nil, unreadable(value)
	}
	h.bodyBytes = int(bodyBytes)
	return h, rest, nil
}

// decodePrediction reads what appendPrediction wrote, except Pipeline and Entity, which the key holds. Without explained it
// skips the explanation. Nothing of the result shares memory with value.
func decodePrediction(value []byte, explained bool) (freshet.Prediction, predictionstore.Version, error) {
	h, rest, err := decodeHead(value)
	if err != nil {
		return freshet.Prediction{}, h.version, err
	}
	p, ok := decodeFront(h, string(rest[:h.bodyBytes]))
	if !ok {
		return freshet.Prediction{}, h.version, unreadable(value)
	}
	rest = rest[h.bodyBytes:]
	if h.flags&flagExplained == 0 {
		if len(rest) > 0 {
			return freshet.Prediction{}, h.version, unreadable(value)
		}
		return p, h.version, nil
	}
	if explained {
		if p.Explanation, ok = decodeExplanation(string(rest), h.flags); !ok {
			return freshet.Prediction{}, h.version, unreadable(value)
		}
	}
	return p, h.version, nil
}

// decodeFront reads what stands before the explanation. The result's texts are parts of body.
func decodeFront(h head, body string) (freshet.Prediction, bool) {
	p, ok := decodeBody(body, h.flags)
	p.CreatedAt = h.version.CreatedAt
	p.Fallback = h.flags&flagFallback != 0
	return p, ok
}

func decodeBody(body string, flags byte) (p freshet.Prediction, ok bool) {
	r := record.NewReader(body)
	p.Cause = freshet.Place{Partition: freshet.Partition(r.Byte()), Offset: freshet.Offset(r.Uvarint())}
	p.EventTime = freshet.Timestamp(r.Varint())
	p.ExpiresAt = freshet.Timestamp(r.Varint())
	p.Release = freshet.ReleaseID(r.Text())
	p.Model = r.Text()
	p.EventID = freshet.EventID(r.Text())
	const pairBytes = 1 + 8 // of an empty text and a float
	if n := r.Count(pairBytes); n > 0 {
		p.Items = make([]freshet.Item, n)
		for i := range p.Items {
			p.Items[i] = freshet.Item{ID: freshet.Key(r.Text()), Score: r.Float()}
		}
	}
	if n := r.Count(pairBytes); n > 0 {
		p.Outputs = make(map[string]float64, n)
		for range n {
			name := r.Text()
			p.Outputs[name] = r.Float()
		}
	}
	if flags&flagCause != 0 {
		p.FallbackCause = freshet.FallbackCause(r.Text())
	}
	return p, r.Done() && p.Cause.Partition < freshet.Partitions
}

func decodeExplanation(s string, flags byte) (*freshet.Explanation, bool) {
	var x freshet.Explanation
	r := record.NewReader(s)
	for range r.Count(1) {
		x.Names = append(x.Names, r.Text())
	}
	for range r.Count(1) {
		var in []float64
		for range r.Count(8) {
			in = append(in, r.Float())
		}
		x.Inputs = append(x.Inputs, in)
	}
	if flags&flagTexts != 0 {
		decodeTexts(&r, &x)
	}
	return &x, r.Done()
}

func decodeTexts(r *record.Reader, x *freshet.Explanation) {
	if n := r.Count(2); n > 0 { // of an empty name and no texts
		x.Texts = make(map[string][]string, n)
		for range n {
			column := r.Text()
			var texts []string
			for range r.Count(1) {
				texts = append(texts, r.Text())
			}
			x.Texts[column] = texts
		}
	}
	x.Reason = r.Text()
}
