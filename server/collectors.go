package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/recheck"
	"github.com/freshet-ml/freshet/internal/sweep"
	"github.com/freshet-ml/freshet/internal/telemetry"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/tablestore"
)

// collectors show what the hand-offs and the receiver count when somebody scrapes.
func (s *Server) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		telemetry.Funcs(s.log.Stats,
			telemetry.Metric[eventlog.Stats]{Name: "freshet_log_events_total", Help: "Events appended to the log.", Value: func(x eventlog.Stats) float64 { return float64(x.Appended) }},
			telemetry.Metric[eventlog.Stats]{Name: "freshet_log_duplicates_total", Help: "Events that the log had already.", Value: func(x eventlog.Stats) float64 { return float64(x.Duplicates) }},
			telemetry.Metric[eventlog.Stats]{Name: "freshet_log_groups_total", Help: "Group commits, one fsync each.", Value: func(x eventlog.Stats) float64 { return float64(x.Groups) }},
		),
		telemetry.Func("freshet_offline_events", "Events moved to the offline store since the start.", func() float64 { return float64(s.offline.Stored()) }),
		telemetry.Funcs(s.features.Stats,
			telemetry.Metric[featurestore.Stats]{Name: "freshet_rows_applied_total", Help: "Feature rows written.", Value: func(x featurestore.Stats) float64 { return float64(x.RowsApplied) }},
			telemetry.Metric[featurestore.Stats]{Name: "freshet_checkpoints_total", Help: "Checkpoints of partitions.", Value: func(x featurestore.Stats) float64 { return float64(x.Checkpoints) }},
			telemetry.Metric[featurestore.Stats]{Name: "freshet_rows_refused_total", Help: "Writes refused because their owner had lost the partition.", Value: func(x featurestore.Stats) float64 { return float64(x.Refused) }},
		),
		telemetry.Funcs(s.sweeper.Stats,
			telemetry.Metric[sweep.Stats]{Name: "freshet_rows_swept_total", Help: "Feature rows that the background sweep has looked at.", Value: func(x sweep.Stats) float64 { return float64(x.Rows) }},
			telemetry.Metric[sweep.Stats]{Name: "freshet_rows_rolled_up_total", Help: "Feature rows that the sweep has made shorter.", Value: func(x sweep.Stats) float64 { return float64(x.RolledUp) }},
			telemetry.Metric[sweep.Stats]{Name: "freshet_rows_removed_total", Help: "Feature rows that the sweep has removed because no window saw them any more.", Value: func(x sweep.Stats) float64 { return float64(x.Removed) }},
			telemetry.Metric[sweep.Stats]{Name: "freshet_rows_swept_bytes_total", Help: "Bytes of row data that the sweep has freed.", Value: func(x sweep.Stats) float64 { return float64(x.Bytes) }},
			telemetry.Metric[sweep.Stats]{Name: "freshet_sweep_passes_total", Help: "Sweeps over all partitions.", Value: func(x sweep.Stats) float64 { return float64(x.Passes) }},
		),
		telemetry.Funcs(s.checker.Stats,
			telemetry.Metric[recheck.Stats]{Name: "freshet_feature_checked_total", Help: "Reads compared with what the events in the log say.", Value: func(x recheck.Stats) float64 { return float64(x.Checked) }},
			telemetry.Metric[recheck.Stats]{Name: "freshet_feature_mismatch_total", Help: "Reads that were not what the events in the log say. Must stay 0.", Value: func(x recheck.Stats) float64 { return float64(x.Mismatched) }},
		),
		telemetry.FuncBy("freshet_feature_unchecked_total", "Reads taken for a check that could not be compared, by cause.", "cause", s.checker.Unchecked),
		telemetry.Func("freshet_rows_hot_bytes", "Bytes of feature rows in memory.", func() float64 { _, b := s.hot.HotRows(); return float64(b) }),
		telemetry.Func("freshet_predictions_hot_bytes", "Bytes of predictions in memory.", func() float64 { return float64(s.pulled.HotBytes()) }),
		telemetry.Funcs(s.jobs.Stats,
			telemetry.Metric[jobqueue.Stats]{Name: "freshet_jobs_queued", Help: "Jobs that wait.", Value: func(x jobqueue.Stats) float64 { return float64(x.Queued) }},
			telemetry.Metric[jobqueue.Stats]{Name: "freshet_jobs_leased", Help: "Jobs in work.", Value: func(x jobqueue.Stats) float64 { return float64(x.Leased) }},
			telemetry.Metric[jobqueue.Stats]{Name: "freshet_dead_letters", Help: "Jobs that ended without a prediction.", Value: func(x jobqueue.Stats) float64 { return float64(x.Dead) }},
			telemetry.Metric[jobqueue.Stats]{Name: "freshet_jobs_oldest_seconds", Help: "Age of the oldest job that waits or is in work.", Value: s.oldest},
		),
		telemetry.Funcs(s.tables.Stats,
			telemetry.Metric[tablestore.Stats]{Name: "freshet_table_rows_written_total", Help: "Rows of push tables kept, deletions included.", Value: func(x tablestore.Stats) float64 { return float64(x.Written) }},
			telemetry.Metric[tablestore.Stats]{Name: "freshet_table_rows_historic_total", Help: "Pushed rows not kept because a newer one was there.", Value: func(x tablestore.Stats) float64 { return float64(x.Historic) }},
		),
		telemetry.Funcs(s.receiver.Streams,
			telemetry.Metric[[]receiver.Stream]{Name: "freshet_receiver_events_total", Help: "Events applied to the rows.", Value: sum(func(x receiver.Stream) uint64 { return x.Events })},
			telemetry.Metric[[]receiver.Stream]{Name: "freshet_receiver_lag_events", Help: "Events in the log and not yet in the rows.", Value: sum(func(x receiver.Stream) uint64 { return uint64(max(x.Head, x.Applied) - x.Applied) })},
			telemetry.Metric[[]receiver.Stream]{Name: "freshet_late_dropped_total", Help: "Events not counted in a session view because their session was closed.", Value: sum(func(x receiver.Stream) uint64 { return x.Late })},
			telemetry.Metric[[]receiver.Stream]{Name: "freshet_events_behind_total", Help: "Events that came behind the watermark, whether they could be counted or not.", Value: sum(func(x receiver.Stream) uint64 { return x.Behind })},
			telemetry.Metric[[]receiver.Stream]{Name: "freshet_streams_idle", Help: "Partitions without an event for the idle timeout.", Value: sum(idle)},
			telemetry.Metric[[]receiver.Stream]{Name: "freshet_watermark_lag_seconds", Help: "How far the watermark of the partition that is farthest behind is from the clock.", Value: s.watermarkLag},
			telemetry.Metric[[]receiver.Stream]{Name: "freshet_events_unseen_total", Help: "Events older than any window of a view sees, by view.", Value: sum(func(x receiver.Stream) uint64 { return x.Unseen })},
			telemetry.Metric[[]receiver.Stream]{Name: "freshet_events_unreadable_total", Help: "Events that the live release cannot read.", Value: sum(func(x receiver.Stream) uint64 { return x.Unreadable })},
		),
		telemetry.Funcs(s.db.Metrics,
			telemetry.Metric[disk.Metrics]{Name: "freshet_disk_bytes", Help: "Bytes on disk.", Value: func(x disk.Metrics) float64 { return float64(x.DiskBytes) }},
			telemetry.Metric[disk.Metrics]{Name: "freshet_disk_stalls_total", Help: "Times that writers had to wait for the disk.", Value: func(x disk.Metrics) float64 { return float64(x.WriteStalls) }},
		),
	}
}

func (s *Server) oldest(x jobqueue.Stats) float64 {
	if x.Oldest.IsZero() {
		return 0
	}
	return s.o.Now().Sub(x.Oldest).Seconds()
}

func idle(x receiver.Stream) uint64 {
	if x.Idle {
		return 1
	}
	return 0
}

// watermarkLag leaves out partitions that have seen no event and are not idle yet.
func (s *Server) watermarkLag(all []receiver.Stream) float64 {
	now, lag := freshet.TimestampOf(s.o.Now()), 0.0
	for _, x := range all {
		if x.Watermark > 0 {
			lag = max(lag, now.Sub(x.Watermark).Seconds())
		}
	}
	return lag
}

func sum(of func(receiver.Stream) uint64) func([]receiver.Stream) float64 {
	return func(all []receiver.Stream) float64 {
		var n uint64
		for _, x := range all {
			n += of(x)
		}
		return float64(n)
	}
}
