package api

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// jsonCell reads a JSON value for column c as MLflow converts it: null, NaN, texts of numbers and booleans are good for
// numbers. What MLflow would cut off silently, such as the fraction of 3.5 for a long, is refused.
func jsonCell(c *modelruntime.Column, raw []byte) (float64, error) {
	switch raw[0] {
	case 'n':
		return missingCell(c)
	case 't':
		return 1, nil
	case 'f':
		return 0, nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return 0, err
		}
		return textCell(c, string(text))
	case '[', '{':
		return 0, badCell(c, string(raw))
	}
	return numberCell(c, string(raw))
}

// missingCell is the value of a null: whole numbers and booleans have none.
func missingCell(c *modelruntime.Column) (float64, error) {
	switch c.Type {
	case "long", "integer", "boolean":
		return 0, freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "column %s is null, and there is no null of type %s", c.Name, c.Type)
	}
	return math.NaN(), nil
}

// textCell reads a text, as it stands in CSV or in quotes.
func textCell(c *modelruntime.Column, text string) (float64, error) {
	text = strings.TrimSpace(text)
	switch strings.ToLower(text) {
	case "true":
		return 1, nil
	case "false":
		return 0, nil
	}
	if text == "" || strings.ContainsAny(text, "xX_") {
		return 0, badCell(c, text)
	}
	return numberCell(c, text)
}

// numberCell reads a decimal number; one beyond float64 is infinite.
func numberCell(c *modelruntime.Column, text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(v, 0) {
		return 0, badCell(c, text)
	}
	switch c.Type {
	case "long":
		if v != math.Trunc(v) || v < -1<<63 || v >= 1<<63 {
			return 0, badCell(c, text)
		}
	case "integer":
		if v != math.Trunc(v) || v < math.MinInt32 || v > math.MaxInt32 {
			return 0, badCell(c, text)
		}
	case "boolean":
		if v != 0 && v != 1 {
			return 0, badCell(c, text)
		}
	case "float":
		v = float64(float32(v)) // what the model was trained with
	}
	return v, nil
}

func badCell(c *modelruntime.Column, text string) error {
	expected := "a number"
	switch c.Type {
	case "long":
		expected = "a whole number of 64 bits (type long)"
	case "integer":
		expected = "a whole number of 32 bits (type integer)"
	case "boolean":
		expected = "true or false (type boolean)"
	}
	return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "column %s: %.64q: expected %s", c.Name, text, expected)
}

// missingTexts are the cells of a CSV file that pandas reads as missing.
var missingTexts = []string{"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>"}

// csvCell reads a cell of a CSV file.
func csvCell(c *modelruntime.Column, text string) (float64, error) {
	for _, m := range missingTexts {
		if text == m {
			return missingCell(c)
		}
	}
	return textCell(c, text)
}

// isJSON tells by its first character whether text is a JSON object or list.
func isJSON(text []byte) bool {
	text = bytes.TrimLeft(text, spaces)
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}
