package receiver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
)

// TestAnIdlePartitionGoesWithTheClock: its watermark moves on, and changes nothing about the events that come later.
func TestAnIdlePartitionGoesWithTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, plays)
		begin := freshet.TimestampOf(time.Now())
		p := b.play("u1", 5).Partition
		synctest.Wait()
		look := func() Stream { return b.receiver.Streams()[p] }
		if s := look(); s.Idle || s.Watermark != begin.Add(-project.DefaultLateness) {
			t.Errorf("after an event: idle %v, watermark %s", s.Idle, s.Watermark)
		}
		time.Sleep(b.receiver.o.IdleTimeout - 1)
		if s := look(); s.Idle || s.Watermark != begin.Add(-project.DefaultLateness) {
			t.Errorf("before the timeout: idle %v, watermark %s", s.Idle, s.Watermark)
		}
		time.Sleep(time.Hour)
		gone := freshet.TimestampOf(time.Now()).Add(-project.DefaultLateness)
		if s := look(); !s.Idle || s.Watermark != gone || s.MaxEventTime != begin {
			t.Errorf("after the timeout: idle %v, watermark %s, want %s; largest event time %s", s.Idle, s.Watermark, gone, s.MaxEventTime)
		}
		b.play("u1", 6)
		synctest.Wait()
		if s := look(); s.Idle || s.Watermark < gone || s.Behind != 0 {
			t.Errorf("after another event: idle %v, watermark %s, %d behind", s.Idle, s.Watermark, s.Behind)
		}
		b.stop()
		time.Sleep(time.Minute)
		b.start()
		synctest.Wait()
		if s := look(); s.MaxEventTime < gone {
			t.Errorf("after a restart the largest event time is %s", s.MaxEventTime)
		}
		b.stop()
	})
}

// TestLongRowsAreSavedEarlier: rows that wait for a checkpoint are bounded in bytes, too.
func TestLongRowsAreSavedEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, plays)
		b.stop()
		b.receiver = New(b.log, b.features, b.jobs, b.live, Options{CheckpointBytes: 400})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.receiver.Run(ctx) }()
		var p freshet.Partition
		for range 10 {
			p = b.play("u1", 5).Partition
			synctest.Wait()
		}
		if s := b.receiver.Streams()[p]; s.Checkpoint == 0 {
			t.Errorf("ten rows and no checkpoint of %d events", s.Applied)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
