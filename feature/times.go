package feature

import "github.com/freshet-ml/freshet"

const timeForms = "RFC 3339 with zone, such as 2025-03-03T12:00:00Z, or a whole number of milliseconds since 1970, within 1970 … 9999"

// parseTime reads the JSON text of a time: RFC 3339 with zone in quotes, or whole milliseconds.
func parseTime(value string) (t freshet.Timestamp, ok bool) {
	if value[0] != '"' {
		ms, ok := wholeNumber(value)
		t = freshet.Timestamp(ms)
		return t, ok && t >= freshet.MinTimestamp && t <= freshet.MaxTimestamp
	}
	text := value[1 : len(value)-1]
	if t, ok := parseUTC(text); ok {
		return t, true
	}
	t, err := freshet.ParseTimestamp(text)
	return t, err == nil
}

// parseUTC reads the common form of a time, 2025-03-03T12:00:00[.123]Z, in a tenth of the time of package time. It is not ok for
// every other form, which may be good nevertheless.
func parseUTC(s string) (freshet.Timestamp, bool) {
	const head = len("2025-03-03T12:00:00")
	if len(s) <= head || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len(s)-1] != 'Z' {
		return 0, false
	}
	year, ok1 := digits(s[0:4])
	month, ok2 := digits(s[5:7])
	date, ok3 := digits(s[8:10])
	hours, ok4 := digits(s[11:13])
	minutes, ok5 := digits(s[14:16])
	seconds, ok6 := digits(s[17:19])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || year < 1970 || month < 1 || month > 12 || date < 1 || date > 28 ||
		hours > 23 || minutes > 59 || seconds > 59 {
		return 0, false // the ends of months are left to package time
	}
	var millis int64
	if fraction := s[head : len(s)-1]; fraction != "" {
		if fraction[0] != '.' || len(fraction) != len(".123") {
			return 0, false
		}
		var ok bool
		if millis, ok = digits(fraction[1:]); !ok {
			return 0, false
		}
	}
	return freshet.Timestamp(daysBefore(year, month, date)*day + hours*hour + minutes*minute + seconds*second + millis), true
}

func digits(s string) (n int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// daysBefore counts the days from 1970-01-01 to a date of the Gregorian calendar. Years are taken to begin in March, so that
// the leap day is their last.
func daysBefore(year, month, date int64) int64 {
	if month < 3 {
		year, month = year-1, month+12
	}
	const daysToEpoch = 719468 // from 0000-03-01
	dayOfYear := (153*(month-3)+2)/5 + date - 1
	return year*365 + year/4 - year/100 + year/400 + dayOfYear - daysToEpoch
}
