package onnxmodel_test

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A graph is written field by field, as the format says: the tests need no library of ONNX.

// message is one protobuf message.
type message []byte

func (m message) bytes(number protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, number, protowire.BytesType), b)
}

func (m message) text(number protowire.Number, s string) message { return m.bytes(number, []byte(s)) }

func (m message) integer(number protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, number, protowire.VarintType), uint64(v))
}

// modelFile is a model of version 17 of the operators, and 3 of those of ai.onnx.ml.
func modelFile(graph ...message) []byte {
	m := message{}.integer(1, 9).text(2, "test")
	var g message
	for _, part := range graph {
		g = append(g, part...)
	}
	m = m.bytes(7, g)
	m = m.bytes(8, message{}.text(1, "").integer(2, 17))
	return m.bytes(8, message{}.text(1, "ai.onnx.ml").integer(2, 3))
}

// tensorType is a float32 tensor unless kind says another; −1 is a free dimension.
func tensorType(kind int64, shape ...int64) message {
	var dims message
	for _, d := range shape {
		one := message{}
		if d >= 0 {
			one = one.integer(1, d)
		}
		dims = dims.bytes(1, one)
	}
	return message{}.bytes(1, message{}.integer(1, kind).bytes(2, dims))
}

func input(name string, kind int64, shape ...int64) message {
	return message{}.bytes(11, message{}.text(1, name).bytes(2, tensorType(kind, shape...)))
}

func output(name string, kind int64, shape ...int64) message {
	return message{}.bytes(12, message{}.text(1, name).bytes(2, tensorType(kind, shape...)))
}

func floatTensor(name string, shape []int64, values ...float32) message {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	t := message{}
	for _, d := range shape {
		t = t.integer(1, d)
	}
	return t.integer(2, 1).text(8, name).bytes(9, raw)
}

func intTensor(name string, values ...int64) message {
	t := message{}.integer(1, int64(len(values))).integer(2, 7)
	for _, v := range values {
		t = t.integer(7, v)
	}
	return t.text(8, name)
}

func weights(t message) message { return message{}.bytes(5, t) }

// list is the names of inputs or outputs.
type list []string

func node(domain, op string, inputs, outputs list, attributes ...message) message {
	n := message{}
	for _, name := range inputs {
		n = n.text(1, name)
	}
	for _, name := range outputs {
		n = n.text(2, name)
	}
	n = n.text(4, op)
	for _, a := range attributes {
		n = n.bytes(5, a)
	}
	return message{}.bytes(1, n.text(7, domain))
}

func attrInt(name string, v int64) message {
	return message{}.text(1, name).integer(3, v).integer(20, 2)
}

func attrFloat(name string, v float32) message {
	m := message{}.text(1, name)
	m = protowire.AppendFixed32(protowire.AppendTag(m, 2, protowire.Fixed32Type), math.Float32bits(v))
	return message(m).integer(20, 1)
}

func attrText(name, v string) message { return message{}.text(1, name).text(4, v).integer(20, 3) }

func attrInts(name string, values ...int64) message {
	m := message{}.text(1, name)
	for _, v := range values {
		m = m.integer(8, v)
	}
	return m.integer(20, 7)
}

func attrFloats(name string, values ...float32) message {
	var packed []byte
	for _, v := range values {
		packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(v))
	}
	return message{}.text(1, name).bytes(7, packed).integer(20, 6)
}

func attrTexts(name string, values ...string) message {
	m := message{}.text(1, name)
	for _, v := range values {
		m = m.text(9, v)
	}
	return m.integer(20, 8)
}
