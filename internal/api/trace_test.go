package api

import (
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// TestTrace follows an event from its acceptance to its dead letter, and to its prediction.
func TestTrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	ctx := t.Context()
	if a := r.post("/v1/events", `[{"event_id":"e0","type":"search","user_id":"u1"},{"event_id":"e1","type":"play","user_id":"u1","content_id":"c1"}]`); a.status != 202 {
		t.Fatalf("%s", a.body)
	}
	place := freshet.Place{Partition: freshet.PartitionOf("u1"), Offset: 2}
	var jobs []freshet.Job
	for _, name := range []freshet.PipelineName{"mood", "today"} {
		jobs = append(jobs, freshet.Job{
			ID: freshet.MakeJobID(name, place), Pipeline: name, Entity: freshet.Entity{Kind: "user", Key: "u1"}, EventID: "e1", EventTime: now, Cause: place,
		})
	}
	if err := r.jobs.Enqueue(ctx, place.Partition, 1, 2, jobs); err != nil {
		t.Fatal(err)
	}
	leases, err := r.jobs.Lease(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.jobs.Fail(ctx, leases[0], "r1", freshet.Errorf(freshet.NotFound, "no such thing")); err != nil {
		t.Fatal(err)
	}
	p := userPrediction("today")
	p.Cause, p.EventID = place, "e1"
	r.keep(p)
	if err := r.jobs.Ack(ctx, leases[1], "r1"); err != nil {
		t.Fatal(err)
	}
	get := func(id string) string { return string(r.get("/v1/users/u1/trace?event_id=" + id).body) }
	text := get("e1")
	for _, want := range []string{
		`"event_id":"e1","type":"play"`, `"views":["session"]`, `"pipeline":"mood","triggered":true,"job":{"id":"mood-`, `"state":"dead"`, `no such thing`,
		`"pipeline":"today"`, `"prediction":{"release":"r1","model":"ranker@7"`, `"what":"accepted"`, `"what":"today: prediction stored by release r1, job done"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	m := outbox.Message{ID: jobs[1].ID, User: "u1", Pipeline: "today", Category: "today", CreatedAt: now, ExpiresAt: now + 1000, DueAt: now + 5, State: outbox.Waiting, Reason: "busy"}
	if _, err := r.people.Add(ctx, m, now); err != nil {
		t.Fatal(err)
	}
	if text := get("e1"); !strings.Contains(text, "today: push message made") || !strings.Contains(text, "today: push waiting: busy") {
		t.Errorf("a message that waits: %s", text)
	}
	for state, want := range map[outbox.State]string{
		outbox.Sent: "today: push sent by apns", outbox.Shown: "today: push shown in the app", outbox.Suppressed: "today: push suppressed: cap", outbox.Failed: "today: push failed by apns: cap",
	} {
		if err := r.people.Decide(ctx, m.ID, func(tx *outbox.Tx) (bool, error) {
			x := tx.Message
			x.State, x.Channel, x.Reason, x.EndedAt, x.Outcomes = state, push.APNs, "cap", now+9, map[string]freshet.Timestamp{"opened": now + 10}
			return false, nil
		}); err != nil {
			t.Fatal(err)
		}
		if text := get("e1"); !strings.Contains(text, want) || !strings.Contains(text, "today: push opened") {
			t.Errorf("%s: %s", state, text)
		}
	}
	p.Cause.Offset, p.EventID = 9, "e9"
	r.keep(p)
	if text := get("e1"); !strings.Contains(text, `"replaced_by":{"event_id":"e9"`) {
		t.Errorf("replaced: %s", text)
	}
	if text := get("e0"); !strings.Contains(text, `"pipelines":[]`) || !strings.Contains(text, `"views":[]`) {
		t.Errorf("an event that does nothing: %s", text)
	}
	if a := r.get("/v1/users/u2/trace?event_id=e1"); a.problem(t).Code != freshet.NotFound || a.problem(t).Field != "event_id" {
		t.Errorf("of somebody else: %s", a.body)
	}
	if a := r.get("/v1/users/u1/trace"); a.problem(t).Field != "event_id" {
		t.Errorf("without an id: %s", a.body)
	}
	if a := r.get("/v1/entities/content/c1/trace?event_id=e1"); a.status != 200 || !strings.Contains(string(a.body), `"views":["popularity"]`) {
		t.Errorf("at its other entity: %s", a.body)
	}
}
