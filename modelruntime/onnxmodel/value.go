package onnxmodel

// valueProto is an input or output of the graph.
type valueProto struct {
	name  string
	kind  dtype // of a tensor; 0 if it is none, or not said
	shape []int // −1: free
	shown bool  // the shape is said
	list  bool  // a sequence, such as ZipMap makes
}

func decodeValue(message []byte) (valueProto, error) {
	var v valueProto
	err := fields(message, func(f field) (err error) {
		switch f.number {
		case 1:
			v.name, err = f.text()
		case 2:
			err = v.decodeType(f)
		}
		return err
	})
	return v, err
}

func (v *valueProto) decodeType(f field) error {
	message, err := f.message()
	if err != nil {
		return err
	}
	return fields(message, func(f field) error {
		switch f.number {
		case 1:
			return v.decodeTensorType(f)
		case 4:
			v.list = true
		}
		return nil
	})
}

func (v *valueProto) decodeTensorType(f field) error {
	message, err := f.message()
	if err != nil {
		return err
	}
	return fields(message, func(f field) error {
		switch f.number {
		case 1:
			n, err := f.integer()
			v.kind = dtype(n)
			return err
		case 2:
			v.shown = true
			return fields(f.bytes, v.addDimension)
		}
		return nil
	})
}

func (v *valueProto) addDimension(f field) error {
	if f.number != 1 {
		return nil
	}
	message, err := f.message()
	if err != nil {
		return err
	}
	size := int64(-1)
	err = fields(message, func(f field) (err error) {
		if f.number == 1 {
			size, err = f.integer()
		}
		return err
	})
	if err != nil {
		return err
	}
	if size < -1 || size > maxElements || len(v.shape) == maxRank {
		return invalid("%q has dimension %d, or more than %d dimensions", v.name, size, maxRank)
	}
	v.shape = append(v.shape, int(size))
	return nil
}
