package receiver

import (
	"runtime"
	"testing"
	"time"
)

func TestTheShareOfAFillFollowsThePressure(t *testing.T) {
	t.Parallel()
	var p pressure
	at := time.Now()
	if s := p.share(at); s != firstShare {
		t.Errorf("at first %v, expected %v", s, firstShare)
	}
	before := p.share(at.Add(lookEvery - 1)) // nothing is looked at so soon
	if before != firstShare {
		t.Errorf("%v, expected %v", before, firstShare)
	}
	for range 100 {
		p.adapt(2, 100)
	}
	if p.now != leastShare {
		t.Errorf("with many late ones %v, expected %v", p.now, leastShare)
	}
	p.adapt(1, 100)
	if p.now != leastShare+shareMore {
		t.Errorf("with few late ones %v, expected %v", p.now, leastShare+shareMore)
	}
	for range 100 {
		p.adapt(0, 0)
	}
	if p.now != 1 {
		t.Errorf("with no late ones %v, expected 1", p.now)
	}
	if s := p.share(at.Add(time.Hour)); s != firstShare {
		t.Errorf("after an hour %v, expected %v", s, firstShare)
	}
}

func TestALookCountsWhoGotACore(t *testing.T) {
	t.Parallel()
	var p pressure
	p.share(time.Now())
	for range 1000 {
		done := make(chan struct{})
		go close(done)
		<-done
		runtime.Gosched()
	}
	if late, all := p.look(); all == 0 || late > all {
		t.Errorf("%d late of %d", late, all)
	}
}
