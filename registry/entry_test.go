package registry

import (
	"bytes"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
)

// golden is an entry as docs/formats/registry.md shows it: it never changes.
const golden = `{"revision":7,"at":"2026-03-01T12:00:00.000Z","actor":"ada","reason":"it ranks better","kind":"model.alias","body":{"model":"ranker","alias":"champion","version":7}}
sha256:7ab502dc12dc93443742de6f82e649545fade7be0465f0dd3ccb86b3ccfae300
`

func goldenEntry() Entry {
	return Entry{Revision: 7, At: 1_772_366_400_000, Draft: Draft{
		Actor: "ada", Reason: "it ranks better", Kind: "model.alias", Body: []byte(`{"model":"ranker","alias":"champion","version":7}`),
	}}
}

func TestEntryGolden(t *testing.T) {
	t.Parallel()
	got, err := encodeEntry(goldenEntry())
	if err != nil || string(got) != golden {
		t.Errorf("encoded %s, %v; want %s", got, err, golden)
	}
	e, err := decodeEntry(7, []byte(golden))
	if err != nil {
		t.Fatal(err)
	}
	want := goldenEntry()
	if e.Revision != want.Revision || e.At != want.At || e.Actor != want.Actor || e.Reason != want.Reason || e.Kind != want.Kind || !bytes.Equal(e.Body, want.Body) {
		t.Errorf("decoded %+v; want %+v", e, want)
	}
	if _, err := decodeEntry(8, []byte(golden)); freshet.CodeOf(err) != freshet.Internal || !strings.Contains(err.Error(), "revision 8 is damaged") {
		t.Errorf("decoded as another revision: %v", err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte(golden)[:40])
	f.Add([]byte("{}\n"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEntry(7, data)
		if err != nil {
			if freshet.CodeOf(err) != freshet.Internal {
				t.Errorf("error %v has another code than internal", err)
			}
			return
		}
		if e.Revision != 7 {
			t.Errorf("decoded revision %d", e.Revision)
		}
	})
}
