package treemodel

import (
	"strconv"

	freshet "github.com/freshet-ml/freshet"
)

// source is a document in JSON or UBJSON, read once from front to back. Each method reads one value; its errors say what
// was there instead. All memory it takes is in proportion to the bytes.
type source interface {
	// object calls field for each key; field must read its value. Errors of field get the key in front.
	object(field func(key string) error) error
	// array calls element for each element; element must read it. Errors get the index in front.
	array(element func() error) error
	text() (string, error)
	// ints and floats read an array of numbers. Booleans are the whole numbers 0 and 1.
	ints() ([]int32, error)
	floats() ([]float32, error)
	skip() error
	// end says whether anything follows the document.
	end() error
}

// maxDepth is how deep a document may be nested; XGBoost's are 8 deep.
const maxDepth = 64

func nestedTooDeep() error {
	return invalid("it is nested too deep: at most %d levels are read", maxDepth)
}

// at puts a key in front of an error.
func at(key string, err error) error {
	if err == nil {
		return nil
	}
	return freshet.Errorf("", "%.60s: %w", key, err)
}

func atIndex(i int, err error) error { return at("["+strconv.Itoa(i)+"]", err) }
