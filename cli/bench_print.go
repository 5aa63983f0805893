package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// benchRow is a line of a result: what it is, and a value for each run.
type benchRow struct {
	name   string
	values []string
}

// rowOf makes a row by looking at each run.
func rowOf[R any](name string, runs []R, value func(R) string) benchRow {
	row := benchRow{name: name}
	for _, r := range runs {
		row.values = append(row.values, value(r))
	}
	return row
}

// printBench writes the conditions and the rows, values flush right. A row without a name is an empty line.
func (sh *shell) printBench(title string, c benchConditions, load string, rows []benchRow) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", title)
	fmt.Fprintf(&b, "  machine  %s, %s, %s, %s, freshet %s\n", c.CPU, quantity(c.Cores, "core"), c.Platform, c.Go, c.Version)
	if c.Data != "" {
		fmt.Fprintf(&b, "  server   %s, load generator on the same cores; data on %s (%s), fsync on\n", c.Server, c.FileSystem, c.Data)
		if c.FileSystem == "tmpfs" {
			b.WriteString("           tmpfs is memory: fsync costs nothing there. --dir names a folder on a disk\n")
		}
	} else {
		fmt.Fprintf(&b, "  server   %s, its disk and cores are not known here\n", c.Server)
	}
	fmt.Fprintf(&b, "  app      %s\n", c.App)
	fmt.Fprintf(&b, "  load     %s; %.4g s each after %.4g s of warm-up; seed %d\n\n", load, c.Seconds, c.Warmup, c.Seed)
	writeRows(&b, rows)
	_, err := io.WriteString(sh.out, b.String())
	return err
}

func writeRows(b *strings.Builder, rows []benchRow) {
	name, value := 0, 0
	for _, r := range rows {
		name = max(name, utf8.RuneCountInString(r.name))
		for _, v := range r.values {
			value = max(value, utf8.RuneCountInString(v))
		}
	}
	for _, r := range rows {
		line := fmt.Sprintf("%-*s", name, r.name)
		for _, v := range r.values {
			line += fmt.Sprintf("  %*s", value, v)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func (r benchIngest) print(sh *shell) error {
	runs := r.Runs
	rows := []benchRow{
		rowOf("", runs, func(x benchIngestRun) string { return quantity(x.Batch, "event") + " a request" }),
		rowOf("acknowledged events/s", runs, func(x benchIngestRun) string { return count(x.EventsPerSecond) }),
		rowOf("  × JSON decoding alone, one core", runs, func(x benchIngestRun) string { return times(x.DecodeRatio, count(r.Decode.EventsPerSecond)) }),
		rowOf("requests/s", runs, func(x benchIngestRun) string { return count(x.RequestsPerSecond) }),
		rowOf("  × HTTP echo", runs, func(x benchIngestRun) string { return times(x.EchoRatio, count(x.EchoRequestsPerSecond)) }),
		rowOf("ack p50 / p99", runs, func(x benchIngestRun) string { return pair(x.Ack.P50, x.Ack.P99) }),
		rowOf("ack p99.9 / max", runs, func(x benchIngestRun) string { return pair(x.Ack.P999, x.Ack.Max) }),
		rowOf("  HTTP echo p50 / p99", runs, func(x benchIngestRun) string { return pair(x.Echo.P50, x.Echo.P99) }),
	}
	rows = append(rows, fsyncRow(runs, r.Fsync)...)
	rows = append(rows, rowOf("errors / refused with 429", runs, func(x benchIngestRun) string { return fmt.Sprintf("%d / %d", x.Errors, x.Refused) }))
	rows = append(rows, servedRows(runs, r.Decode, func(x benchIngestRun) benchServed { return x.benchServed })...)
	connections := 0
	if len(runs) > 0 {
		connections = runs[0].Connections
	}
	return sh.printBench("freshet bench ingest: durable events", r.Conditions, "closed loop over "+quantity(connections, "connection"), rows)
}

func (r benchE2E) print(sh *shell) error {
	runs := r.Runs
	rows := []benchRow{
		rowOf("", runs, func(x benchE2ERun) string { return count(x.Rate) + " events/s" }),
		rowOf("event → prediction p50 / p99", runs, func(x benchE2ERun) string { return pair(x.Prediction.P50, x.Prediction.P99) }),
		rowOf("event → prediction p99.9 / max", runs, func(x benchE2ERun) string {
			if x.Prediction.Count < 1000 {
				return fmt.Sprintf("– / %s ms", millis(x.Prediction.Max)) // too few for one in a thousand
			}
			return pair(x.Prediction.P999, x.Prediction.Max)
		}),
		rowOf("  p50 × HTTP echo p50", runs, func(x benchE2ERun) string { return times(x.EchoRatio, millis(x.Echo.P50)+" ms") }),
		rowOf("  sampled / without their prediction", runs, func(x benchE2ERun) string {
			return fmt.Sprintf("%s (%.3g %% of jobs) / %d", grouped(x.Prediction.Count+x.Unanswered), x.Sample*100, x.Unanswered)
		}),
		rowOf("ack p50 / p99", runs, func(x benchE2ERun) string { return pair(x.Ack.P50, x.Ack.P99) }),
		rowOf("ack p99.9 / max", runs, func(x benchE2ERun) string { return pair(x.Ack.P999, x.Ack.Max) }),
		rowOf("  HTTP echo p50 / p99", runs, func(x benchE2ERun) string { return pair(x.Echo.P50, x.Echo.P99) }),
	}
	rows = append(rows, fsyncRow(runs, r.Fsync)...)
	rows = append(rows,
		rowOf("acknowledged events/s", runs, func(x benchE2ERun) string { return count(x.EventsPerSecond) }),
		rowOf("errors / refused with 429", runs, func(x benchE2ERun) string { return fmt.Sprintf("%d / %d", x.Errors, x.Refused) }))
	rows = append(rows, servedRows(runs, r.Decode, func(x benchE2ERun) benchServed { return x.benchServed })...)
	connections := 0
	if len(runs) > 0 {
		connections = runs[0].Connections
	}
	return sh.printBench("freshet bench e2e: from an event to the stored prediction", r.Conditions,
		"open loop, one event a request over "+quantity(connections, "connection"), rows)
}

func fsyncRow[R any](runs []R, fsync *benchLatency) []benchRow {
	if fsync == nil {
		return nil
	}
	return []benchRow{rowOf("  fsync of 4 KiB p50 / p99", runs, func(R) string { return pair(fsync.P50, fsync.P99) })}
}

func servedRows[R any](runs []R, decode benchDecode, of func(R) benchServed) []benchRow {
	row := func(name string, value func(benchServed) string) benchRow {
		return rowOf(name, runs, func(r R) string { return value(of(r)) })
	}
	return []benchRow{
		row("server CPU an event, under load", func(s benchServed) string { return fmt.Sprintf("%.1f µs", s.CPUMicros) }),
		row("  × JSON decoding alone", func(s benchServed) string {
			return times(ratio(s.CPUMicros, decode.Micros), fmt.Sprintf("%.2f µs", decode.Micros))
		}),
		row("server CPU an event, with its backlog", func(s benchServed) string { return fmt.Sprintf("%.1f µs", s.CPUMicrosAll) }),
		row("cores busy: server / generator / others", func(s benchServed) string {
			return fmt.Sprintf("%.2f / %.2f / %.2f", s.CPUCores, s.GeneratorCores, s.OtherCores)
		}),
		row("group commits/s / events in each", func(s benchServed) string {
			return fmt.Sprintf("%s / %.1f", count(s.CommitsPerSecond), s.EventsPerCommit)
		}),
		row("backlog at the end: events / jobs", func(s benchServed) string {
			return fmt.Sprintf("%s / %s", grouped(s.BacklogEvents), grouped(s.BacklogJobs))
		}),
		row("drained after", func(s benchServed) string {
			if !s.Drained {
				return fmt.Sprintf("not within %.0f s", s.DrainSeconds)
			}
			return fmt.Sprintf("%.2f s", s.DrainSeconds)
		}),
		row("predictions, /s until drained", func(s benchServed) string {
			return fmt.Sprintf("%s, %s/s", grouped(s.Predictions), count(s.PredictionsPerSec))
		}),
		row("server memory (RSS)", func(s benchServed) string { return fmt.Sprintf("%.0f MB", s.MemoryBytes/1e6) }),
	}
}

func count(v float64) string { return grouped(round(v)) }

// times is "0.41 × 30,000".
func times(ratio float64, of string) string { return fmt.Sprintf("%.2f × %s", ratio, of) }

func pair(a, b float64) string { return millis(a) + " / " + millis(b) + " ms" }

// millis writes milliseconds with three digits that mean something.
func millis(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
