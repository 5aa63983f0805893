package factormodel

import (
	"bytes"
	"encoding/csv"
	"io/fs"
	"math"
	"strconv"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/modelruntime"
)

// idMap finds the sequence number of an id.
type idMap struct {
	ids       *table.Table
	sequences []uint32 // by row of ids
}

// find is NaN for an id that is not in the map.
func (m *idMap) find(id string) float64 {
	row, ok := m.ids.Find(freshet.Key(id))
	if !ok {
		return math.NaN()
	}
	return float64(m.sequences[row])
}

// readMaps reads the id maps; both are nil if the artifact has none.
func readMaps(dir fs.FS, users, items int) (userIDs, itemIDs *idMap, err error) {
	if !exists(dir, userMap) && !exists(dir, itemMap) {
		return nil, nil, nil
	}
	if userIDs, err = readMap(dir, userMap, users); err != nil {
		return nil, nil, err
	}
	if itemIDs, err = readMap(dir, itemMap, items); err != nil {
		return nil, nil, err
	}
	return userIDs, itemIDs, nil
}

func exists(dir fs.FS, name string) bool {
	_, err := fs.Stat(dir, name)
	return err == nil
}

func readMap(dir fs.FS, name string, rows int) (*idMap, error) {
	file, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, absent(name, err)
	}
	m, err := parseMap(file, rows)
	if err != nil {
		return nil, freshet.Errorf(faultOf(err), "%s: %w", name, err)
	}
	return m, nil
}

func faultOf(err error) freshet.Code {
	if code := freshet.CodeOf(err); code != freshet.Internal {
		return code
	}
	return freshet.InvalidArgument
}

// sequenceName is the name of the second column; the first has any.
const sequenceName = "seq"

// parseMap reads lines of id and sequence number, which is a row of the factors. No two ids share one.
func parseMap(file []byte, rows int) (*idMap, error) {
	header, err := csv.NewReader(bytes.NewReader(file)).Read()
	if err != nil || len(header) != 2 || header[1] != sequenceName || header[0] == "" {
		return nil, freshet.Errorf(freshet.InvalidArgument, "expected CSV with a header line of two columns, any name for the id and then %s", sequenceName)
	}
	name := string(bytes.TrimPrefix([]byte(header[0]), []byte("\ufeff")))
	// As a text, so that an error can name the id.
	ids, err := table.ReadCSV(bytes.NewReader(file), table.Spec{
		Name: "ids", KeyFields: []string{name}, Columns: []table.Column{{Name: sequenceName, Kind: expression.String}},
	})
	if err != nil {
		return nil, err
	}
	m := &idMap{ids: ids, sequences: make([]uint32, ids.Len())}
	owner := make([]uint32, rows) // of a row of the factors: row of ids + 1
	for row := range m.sequences {
		text := ids.Value(row, 0).Str
		sequence, err := strconv.ParseUint(text, 10, 32)
		if err != nil || sequence >= uint64(rows) {
			return nil, freshet.Errorf(freshet.InvalidArgument, "%q has seq %.40q: expected a whole number from 0 to %d, a row of the factors", ids.Key(row), text, rows-1)
		}
		if other := owner[sequence]; other != 0 {
			return nil, freshet.Errorf(freshet.InvalidArgument, "%q and %q share seq %d: each has a row of the factors of its own", ids.Key(int(other-1)), ids.Key(row), sequence)
		}
		owner[sequence] = uint32(row + 1)
		m.sequences[row] = uint32(sequence)
	}
	return m, nil
}
