package api

import (
	"math"
	"net/http"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/tablestore"
)

// The messages of feast.serving.ServingService, by the numbers of their fields.

// feastGRPCInfo answers GetFeastServingInfo.
func (a *API) feastGRPCInfo(_ *http.Request, _, dst []byte) ([]byte, error) {
	return appendProtoText(dst, 1, a.deps.Version), nil
}

// feastGRPCGet answers GetOnlineFeatures.
func (a *API) feastGRPCGet(r *http.Request, message, dst []byte) ([]byte, error) {
	rel, err := a.live()
	if err != nil {
		return nil, err
	}
	defer rel.Unpin()
	ask, err := parseFeastAsk(message)
	if err != nil {
		return nil, err
	}
	p, err := ask.plan(rel)
	if err != nil {
		return nil, err
	}
	columns, err := a.feastColumns(r.Context(), rel, ask, p)
	if err != nil {
		return nil, err
	}
	return appendFeastProto(dst, ask, p, columns), nil
}

// parseFeastAsk reads a GetOnlineFeaturesRequest. What it keeps shares memory with message.
func parseFeastAsk(message []byte) (*feastAsk, error) {
	ask := &feastAsk{text: protoKey}
	err := fields(message, func(number protowire.Number, value []byte, n uint64) (err error) {
		switch number {
		case 1:
			service := string(value)
			ask.service, ask.refs = &service, nil
		case 2:
			ask.service, ask.refs = nil, nil
			err = fields(value, func(number protowire.Number, value []byte, _ uint64) error {
				if number == 1 {
					ask.refs = append(ask.refs, string(value))
				}
				return nil
			})
		case 3:
			var e feastEntity
			e, err = parseFeastEntity(value)
			ask.entities = append(ask.entities, e)
		case 4:
			ask.full = n != 0
		case 6:
			ask.versions = n != 0
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ask, nil
}

// parseFeastEntity reads an entry of the map from join keys to RepeatedValue.
func parseFeastEntity(entry []byte) (e feastEntity, err error) {
	err = fields(entry, func(number protowire.Number, value []byte, _ uint64) error {
		if number == 1 {
			e.name = string(value)
		}
		if number != 2 {
			return nil
		}
		return fields(value, func(number protowire.Number, value []byte, _ uint64) error {
			if number == 1 {
				e.values = append(e.values, value)
			}
			return nil
		})
	})
	return e, err
}

// protoKey is the text of a join key's value: a text, or an integer as its decimal text.
func protoKey(field string, value []byte) (text string, err error) {
	found := false
	err = fields(value, func(number protowire.Number, value []byte, n uint64) error {
		switch number {
		case 2:
			text, found = string(value), true
		case 3, 4: // a negative int32 has the bits of an int64 too
			text, found = strconv.FormatInt(int64(n), 10), true
		}
		return nil
	})
	if err == nil && !found {
		err = invalid(field, "expected a text or an integer")
	}
	if err == nil && !utf8.ValidString(text) {
		err = invalid(field, "%.40q is no UTF-8", text)
	}
	if err == nil {
		err = checkKeyValue(field, text)
	}
	return text, err
}

// fields calls each at the fields of a message: with the bytes of one that has a length, with the number of a varint. Fixed
// numbers, which none of our fields is, are passed over.
func fields(message []byte, each func(number protowire.Number, value []byte, n uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return notProto(n)
		}
		message = message[n:]
		var value []byte
		var x uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			x, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
			number = 0
		}
		if n < 0 {
			return notProto(n)
		}
		message = message[n:]
		if err := each(number, value, x); err != nil {
			return err
		}
	}
	return nil
}

func notProto(n int) error {
	return freshet.Errorf(freshet.InvalidArgument, "the message cannot be read: %w", protowire.ParseError(n))
}

// appendFeastProto writes a GetOnlineFeaturesResponse.
func appendFeastProto(b []byte, ask *feastAsk, p *feastPlan, columns []feastColumn) []byte {
	b = appendProto(b, 1, func(b []byte) []byte { return appendFeastMetadata(b, ask, p, columns) })
	for _, key := range p.keys {
		b = appendProto(b, 2, func(b []byte) []byte {
			for _, v := range key.values {
				b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), v)
			}
			b = appendProto(b, 2, func(b []byte) []byte {
				for range key.values {
					b = append(b, byte(feastPresent))
				}
				return b
			})
			for range key.values {
				b = appendProtoMoment(b, 3, 0)
			}
			return b
		})
	}
	for _, c := range columns {
		b = appendProto(b, 2, func(b []byte) []byte { return appendFeastVector(b, c) })
	}
	return appendProtoNumber(b, 3, 1)
}

func appendFeastMetadata(b []byte, ask *feastAsk, p *feastPlan, columns []feastColumn) []byte {
	b = appendProto(b, 1, func(b []byte) []byte {
		for _, key := range p.keys {
			b = appendProtoText(b, 1, key.name)
		}
		for _, c := range columns {
			b = appendProtoText(b, 1, c.name)
		}
		return b
	})
	if !ask.versions {
		return b
	}
	for _, block := range p.blocks {
		b = appendProto(b, 2, func(b []byte) []byte { return appendProtoText(b, 1, block.name) })
	}
	return b
}

// appendFeastVector writes a column.
func appendFeastVector(b []byte, c feastColumn) []byte {
	for _, v := range c.values {
		b = appendProto(b, 1, func(b []byte) []byte { return appendProtoValue(b, v, c.typ) })
	}
	b = appendProto(b, 2, func(b []byte) []byte {
		for _, s := range c.statuses {
			b = append(b, byte(s))
		}
		return b
	})
	for _, at := range c.times {
		b = appendProtoMoment(b, 3, at)
	}
	return b
}

// appendProtoValue writes the field of a feast.types.Value that is set; none for null.
func appendProtoValue(b []byte, v expression.Value, typ expression.Type) []byte {
	switch v.Kind {
	case expression.Number:
		if typ.Int && v.Num == math.Trunc(v.Num) {
			return appendProtoNumber(b, 4, uint64(v.Int64()))
		}
		return appendProtoDouble(b, 5, v.Num)
	case expression.Bool:
		return appendProtoNumber(b, 7, uint64(v.Num))
	case expression.String:
		return appendProtoText(b, 2, v.Str)
	case expression.Time:
		return appendProtoNumber(b, 8, uint64(protoSeconds(v)))
	case expression.List:
		return appendProtoList(b, v.List, typ.Elem)
	case expression.Vector:
		return appendProto(b, 15, func(b []byte) []byte {
			return appendProto(b, 1, func(b []byte) []byte {
				for _, x := range v.Vec {
					b = protowire.AppendFixed64(b, math.Float64bits(x))
				}
				return b
			})
		})
	case expression.Map:
		return appendProto(b, 20, func(b []byte) []byte {
			for _, e := range v.List {
				b = appendProto(b, 1, func(b []byte) []byte {
					b = appendProtoText(b, 1, e.Str)
					return appendProto(b, 2, func(b []byte) []byte { return appendProtoDouble(b, 5, e.Num) })
				})
			}
			return b
		})
	}
	return b
}

// appendProtoList writes one of the list fields: all have their values, packed where they are numbers, in field 1.
func appendProtoList(b []byte, list []expression.Value, elem expression.Kind) []byte {
	packed := func(number protowire.Number, each func(b []byte, v expression.Value) []byte) []byte {
		return appendProto(b, number, func(b []byte) []byte {
			return appendProto(b, 1, func(b []byte) []byte {
				for _, v := range list {
					b = each(b, v)
				}
				return b
			})
		})
	}
	switch elem {
	case expression.Number:
		return packed(15, func(b []byte, v expression.Value) []byte { return protowire.AppendFixed64(b, math.Float64bits(v.Num)) })
	case expression.Bool:
		return packed(17, func(b []byte, v expression.Value) []byte { return protowire.AppendVarint(b, uint64(v.Num)) })
	case expression.Time:
		return packed(18, func(b []byte, v expression.Value) []byte { return protowire.AppendVarint(b, uint64(protoSeconds(v))) })
	}
	return appendProto(b, 12, func(b []byte) []byte {
		for _, v := range list {
			b = appendProtoText(b, 1, v.Str)
		}
		return b
	})
}

func protoSeconds(v expression.Value) int64 { return int64(math.Floor(v.Num / 1000)) }

// appendProto writes a field that has a length: each appends its content.
func appendProto(b []byte, number protowire.Number, content func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	start := len(b)
	b = content(b)
	// The length stands in front of the content and is known only now: the content makes room for it.
	var head [10]byte
	length := protowire.AppendVarint(head[:0], uint64(len(b)-start))
	b = append(b, length...)
	copy(b[start+len(length):], b[start:])
	copy(b[start:], length)
	return b
}

func appendProtoText(b []byte, number protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
}

func appendProtoNumber(b []byte, number protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), n)
}

func appendProtoDouble(b []byte, number protowire.Number, x float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, number, protowire.Fixed64Type), math.Float64bits(x))
}

// appendProtoMoment writes a google.protobuf.Timestamp; the one of 1970 is empty.
func appendProtoMoment(b []byte, number protowire.Number, m tablestore.Moment) []byte {
	return appendProto(b, number, func(b []byte) []byte {
		if s := m / 1_000_000; s != 0 {
			b = appendProtoNumber(b, 1, uint64(s))
		}
		if us := m % 1_000_000; us != 0 {
			b = appendProtoNumber(b, 2, uint64(us)*1000)
		}
		return b
	})
}
