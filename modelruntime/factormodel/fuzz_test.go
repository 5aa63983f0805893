package factormodel_test

import (
	"context"
	"testing"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// FuzzOpen: no bytes of any of the four files may panic, and what opens must answer for all of its users and items.
func FuzzOpen(f *testing.F) {
	files := small()
	f.Add(files["user_factors.npy"], files["item_factors.npy"], files["users.csv"], files["items.csv"])
	f.Add(files["user_factors.npy"], files["item_factors.npy"], []byte(nil), []byte(nil))
	f.Add(array[float64](3, 1, 2, 3), array[float32](3, 1, 2, 3), []byte("seq,user\n0,\"a,\"\"b\"\r\n"), []byte("\ufeffitem_id,seq\nx,0\n"))
	f.Fuzz(func(t *testing.T, users, items, userMap, itemMap []byte) {
		given := map[string][]byte{"user_factors.npy": users, "item_factors.npy": items}
		if len(userMap) > 0 {
			given["users.csv"] = userMap
		}
		if len(itemMap) > 0 {
			given["items.csv"] = itemMap
		}
		m, err := open(given)
		if err != nil {
			if freshet.CodeOf(err) == freshet.Internal {
				t.Error(err)
			}
			return
		}
		s := m.Signature()
		inputs := make([]float64, 4*len(s.Inputs))
		for i := range inputs {
			inputs[i] = float64(i % 3)
		}
		if r, ok := m.(modelruntime.Ranker); ok && s.Inputs[0].Type == modelruntime.TextType {
			inputs[0], inputs[1] = r.Encode(0, "a"), r.Encode(1, "x")
			err = r.Rank(context.Background(), [][]float64{{0, 1e9}}, inputs, make([]float64, 4))
		} else {
			err = m.Predict(context.Background(), inputs, make([]float64, 4))
		}
		if err != nil && freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Error(err)
		}
	})
}
