package quiethours_test

import (
	"testing"
	"time"

	"github.com/freshet-ml/freshet/internal/quiethours"
)

func TestUntil(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone, hours, at, end string // end "": not quiet
	}{
		"before midnight":         {"Europe/Berlin", "22:00-06:00", "2026-01-10T22:30:00+01:00", "2026-01-11T06:00:00+01:00"},
		"after midnight":          {"Europe/Berlin", "22:00-06:00", "2026-01-11T05:30:00+01:00", "2026-01-11T06:00:00+01:00"},
		"at the start":            {"Europe/Berlin", "22:00-06:00", "2026-01-10T22:00:00+01:00", "2026-01-11T06:00:00+01:00"},
		"at the end":              {"Europe/Berlin", "22:00-06:00", "2026-01-11T06:00:00+01:00", ""},
		"by day":                  {"Europe/Berlin", "22:00-06:00", "2026-01-11T12:00:00+01:00", ""},
		"within a day":            {"Europe/Berlin", "13:00-15:00", "2026-01-11T14:00:00+01:00", "2026-01-11T15:00:00+01:00"},
		"until midnight":          {"Europe/Berlin", "22:00-00:00", "2026-01-11T23:59:00+01:00", "2026-01-12T00:00:00+01:00"},
		"the user's zone":         {"America/New_York", "22:00-06:00", "2026-01-11T04:30:00Z", "2026-01-11T11:00:00Z"},
		"off":                     {"Europe/Berlin", "off", "2026-01-11T23:00:00+01:00", ""},
		"spring, Berlin, before":  {"Europe/Berlin", "22:00-06:00", "2026-03-29T01:30:00+01:00", "2026-03-29T06:00:00+02:00"},
		"spring, end left out":    {"Europe/Berlin", "22:00-02:30", "2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00"},
		"spring, start left out":  {"Europe/Berlin", "02:30-05:00", "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"},
		"spring, all left out":    {"Europe/Berlin", "02:15-02:45", "2026-03-29T03:00:00+02:00", ""},
		"autumn, Berlin, first":   {"Europe/Berlin", "22:00-02:30", "2026-10-25T02:29:00+02:00", "2026-10-25T02:30:00+02:00"},
		"autumn, Berlin, second":  {"Europe/Berlin", "22:00-02:30", "2026-10-25T02:10:00+01:00", ""},
		"autumn, from the first":  {"Europe/Berlin", "02:30-05:00", "2026-10-25T02:10:00+01:00", "2026-10-25T05:00:00+01:00"},
		"spring, New York":        {"America/New_York", "22:00-02:30", "2026-03-08T01:59:00-05:00", "2026-03-08T03:00:00-04:00"},
		"spring, New York, start": {"America/New_York", "02:30-07:00", "2026-03-08T03:00:00-04:00", "2026-03-08T07:00:00-04:00"},
		"autumn, New York":        {"America/New_York", "22:00-01:30", "2026-11-01T01:29:00-04:00", "2026-11-01T01:30:00-04:00"},
		"autumn, New York again":  {"America/New_York", "22:00-01:30", "2026-11-01T01:10:00-05:00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := quiethours.Zone(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			hours, err := quiethours.Parse(c.hours)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			end, quiet := hours.Until(at, zone)
			if c.end == "" {
				if quiet {
					t.Fatalf("quiet until %v", end)
				}
				return
			}
			want, err := time.Parse(time.RFC3339, c.end)
			if err != nil {
				t.Fatal(err)
			}
			if !quiet || !end.Equal(want) {
				t.Fatalf("quiet %t until %v, want %v", quiet, end, want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "22", "22:00", "22:00-", "22:00-24:00", "2:00-3:00", "22:60-07:00", "22:00-22:00", "22:00–07:00", "a-b"} {
		if _, err := quiethours.Parse(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	for _, name := range []string{"", "Local", "Berlin", "../etc/passwd", "Europe/Nowhere"} {
		if _, err := quiethours.Zone(name); err == nil {
			t.Errorf("%q is a zone", name)
		}
	}
}
