package lenientjson_test

import (
	"testing"

	"github.com/freshet-ml/freshet/internal/lenientjson"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		``:                                ``,
		`{"a":[1,-2,null]}`:               `{"a":[1,-2,null]}`,
		`[NaN, Infinity,-Infinity,-1]`:    `["NaN", "Infinity","-Infinity",-1]`,
		`{"NaN":"Infinity","x\"NaN":NaN}`: `{"NaN":"Infinity","x\"NaN":"NaN"}`,
		`"NaN`:                            `"NaN`,
		`"NaN\`:                           `"NaN\`,
		`NaNNaN`:                          `"NaN""NaN"`,
		`[NA,Inf,"\\",NaN]`:               `[NA,Inf,"\\","NaN"]`,
	} {
		if got := string(lenientjson.Clean([]byte(in))); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
