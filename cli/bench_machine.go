package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
	"github.com/freshet-ml/freshet/internal/project"
)

func conditionsOf(sh *shell, o benching, t *benchTarget) benchConditions {
	c := benchConditions{
		CPU: cpuModel(), Cores: runtime.NumCPU(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Version: buildVersion(sh.version).Version, Server: "child process", Fsync: true, Seed: o.Seed,
		App: fmt.Sprintf("%s users, 70 %% play 20 %% biometric 10 %% search, %d views with %d features, one event in five makes a job; %d titles ranked by %d trees of %d leaves",
			grouped(benchapp.Users), benchapp.Views, benchapp.Features, benchapp.Titles, benchapp.Trees, benchapp.Leaves),
		Seconds: o.Duration.Seconds(), Warmup: o.Warmup.Seconds(),
	}
	if o.Server != "" {
		c.Server = o.Server
		return c
	}
	c.Data, c.FileSystem = t.folder, fileSystemOf(t.folder)
	return c
}

// cpuModel is what the system calls its processor; the architecture if it does not say.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// machineCPU is the seconds that all cores of the machine have been busy since it started; ok is false where the system has
// no /proc/stat.
func machineCPU() (seconds float64, ok bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line) // cpu, then user nice system idle iowait irq softirq steal, in hundredths of a second
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, false
	}
	for i, f := range fields[1:9] {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, false
		}
		if i != 3 && i != 4 { // idle, iowait
			seconds += v / 100
		}
	}
	return seconds, true
}

// fileSystemOf is the type of the file system that dir is on; "unknown" where the system has no /proc/mounts.
func fileSystemOf(dir string) string {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "unknown"
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "unknown"
	}
	best, kind := "", "unknown"
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // device, mount point, type, …
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/")
		if (dir == point || strings.HasPrefix(dir, point+"/")) && len(fields[1]) >= len(best) {
			best, kind = fields[1], fields[2]
		}
	}
	return kind
}

// measureFsync appends 4 KiB and waits for the disk, again and again for some time: what every group commit costs at least.
func measureFsync(ctx context.Context, dir string, d time.Duration) (benchLatency, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return benchLatency{}, freshet.Errorf(freshet.Internal, "measure fsync: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	var h loadgen.Histogram
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return benchLatency{}, freshet.Errorf(freshet.Internal, "measure fsync: %w", err)
		}
		if err := f.Sync(); err != nil {
			return benchLatency{}, freshet.Errorf(freshet.Internal, "measure fsync: %w", err)
		}
		h.Record(time.Since(begin))
	}
	return latencyOf(&h), ctx.Err()
}

// benchDecode is what it costs to read events alone.
type benchDecode struct {
	EventsPerSecond float64 `json:"events_per_second"`
	Micros          float64 `json:"microseconds_an_event"`
}

// measureDecode decodes the events of the app on one core for some time.
func measureDecode(ctx context.Context, events *benchapp.Events, d time.Duration) (benchDecode, error) {
	p, err := project.Parse("freshet.yaml", benchapp.Project())
	if err != nil {
		return benchDecode{}, err
	}
	now := freshet.TimestampOf(time.Now())
	const n = 1000
	raw := make([][]byte, n)
	for i := range raw {
		raw[i] = events.Append(nil, i, now)
	}
	record := p.Schema.NewRecord()
	begin := time.Now()
	decoded := 0
	for time.Since(begin) < d && ctx.Err() == nil {
		for _, text := range raw {
			if err := p.Schema.Decode(text, now, record); err != nil {
				return benchDecode{}, freshet.Errorf("", "an event of the bench's app cannot be read: %w", err)
			}
		}
		decoded += n
	}
	passed := time.Since(begin).Seconds()
	return benchDecode{
		EventsPerSecond: float64(decoded) / passed, Micros: passed / float64(decoded) * 1e6,
	}, ctx.Err()
}

func latencyOf(h *loadgen.Histogram) benchLatency {
	ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
	return benchLatency{
		Count: int(h.Count()), Mean: ms(h.Mean()), P50: ms(h.Quantile(0.5)), P90: ms(h.Quantile(0.9)), P99: ms(h.Quantile(0.99)),
		P999: ms(h.Quantile(0.999)), Max: ms(h.Max()),
	}
}
