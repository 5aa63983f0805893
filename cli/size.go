package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// bytesFlag is a number of bytes on the command line: "8MB" is 8 × 1024 × 1024, a bare number is bytes.
type bytesFlag int64

// UnmarshalText reads a whole number with KB, MB, GB, or no unit.
func (b *bytesFlag) UnmarshalText(text []byte) error {
	digits := strings.ToUpper(string(text))
	shift := 0
	for i, unit := range []string{"KB", "MB", "GB"} {
		if rest, ok := strings.CutSuffix(digits, unit); ok {
			digits, shift = rest, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("size %q: expected a whole number of bytes, or one such as 512MB", text)
	}
	*b = bytesFlag(n << shift)
	return nil
}
