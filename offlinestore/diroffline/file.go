package diroffline

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
)

const (
	eventsDir  = "events"
	dayPrefix  = "day="
	dayLayout  = "2006-01-02"
	extension  = ".parquet"
	unfinished = ".writing-" // other tools pass over names with a dot
)

// dayMillis is the length of a day.
const dayMillis = 24 * 60 * 60 * 1000

// file is one that is finished.
type file struct {
	path        string
	first, last freshet.Offset
	day         int64 // days since 1970
}

// end is a moment after every ingest time in the file: its day never lies before that of a record in it.
func (f file) end() freshet.Timestamp { return freshet.Timestamp((f.day + 1) * dayMillis) }

func dayDir(day int64) string {
	return dayPrefix + freshet.Timestamp(day*dayMillis).Time().Format(dayLayout)
}

// fileName sorts by partition, then offset. The digits are enough for every offset.
func fileName(p freshet.Partition, first, last freshet.Offset) string {
	return fmt.Sprintf("p%02d-%020d-%020d%s", p, first, last, extension)
}

// parseFile is the inverse of dayDir and fileName; ok is false for other names.
func parseFile(dir, name string) (p freshet.Partition, f file, ok bool) {
	day, isDay := strings.CutPrefix(dir, dayPrefix)
	t, err := time.Parse(dayLayout, day)
	if !isDay || err != nil {
		return 0, file{}, false
	}
	f.day = t.UnixMilli() / dayMillis
	base, isParquet := strings.CutSuffix(name, extension)
	parts := strings.Split(base, "-")
	if !isParquet || len(parts) != 3 {
		return 0, file{}, false
	}
	number, err1 := strconv.ParseUint(strings.TrimPrefix(parts[0], "p"), 10, 8)
	first, err2 := strconv.ParseUint(parts[1], 10, 64)
	last, err3 := strconv.ParseUint(parts[2], 10, 64)
	f.first, f.last = freshet.Offset(first), freshet.Offset(last)
	p = freshet.Partition(number)
	if err1 != nil || err2 != nil || err3 != nil || number >= freshet.Partitions || first == 0 || last < first || name != fileName(p, f.first, f.last) {
		return 0, file{}, false
	}
	return p, f, true
}
