package modelruntime

import (
	"bytes"
)

// foreign is a known format that no runtime reads.
type foreign struct {
	what   string
	reason string // why it is not read, and what to do instead
	python bool   // it may hold Python objects: what to do depends on the library that wrote it
}

func (f foreign) refusal() string { return f.what + ": " + f.reason }

// foreignFormat recognises, after the runtimes have been asked, what users may have in hand. It looks at the first bytes
// only: nothing of a pickle is ever interpreted.
func foreignFormat(head []byte) (foreign, bool) {
	const later = "not supported yet; save a LightGBM or XGBoost model in the library's own format, a scikit-learn model with skops, or convert the model to ONNX"
	switch {
	case isPickle(head):
		return foreign{"a Python pickle", "it runs code when it is opened and is never read; log the model again with " +
			"serialization_format=\"skops\", convert it to ONNX, or log a booster in its own format (LightGBM: log model.booster_)", true}, true
	case bytes.HasPrefix(head, []byte("binf")):
		return foreign{"XGBoost's old binary format", "not read; load it in XGBoost and save it again as .json or .ubj (save_model)", false}, true
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return foreign{"a zip file", later, true}, true
	case bytes.HasPrefix(head, []byte("\x93NUMPY")):
		return foreign{"one NumPy array", "no model by itself; factors are a directory with user_factors.npy and item_factors.npy", false}, true
	case bytes.HasPrefix(head, []byte("\x89HDF\r\n\x1a\n")):
		return foreign{"an HDF5 file, such as Keras writes", "not read; " + later, false}, true
	}
	return foreign{}, false
}

// isPickle knows protocols 2 to 5 by their first opcode, and the text of protocols 0 and 1 by how instances begin there.
func isPickle(head []byte) bool {
	if len(head) >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 {
		return true
	}
	return bytes.HasPrefix(head, []byte("ccopy_reg\n")) || bytes.HasPrefix(head, []byte("(i"))
}
