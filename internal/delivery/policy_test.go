package delivery

import (
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/quiethours"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newFacts are those of a message that may go to the one device of its user.
func newFacts() facts {
	m := &outbox.Message{ID: "next_step-3-9", User: "u1", Pipeline: "next_step", Category: "suggestions", Title: "Up next", Body: "Rain",
		CreatedAt: freshet.TimestampOf(noon), ExpiresAt: freshet.TimestampOf(noon.Add(15 * time.Minute)), State: outbox.Waiting,
		Policy: outbox.Policy{Channels: []push.Channel{push.APNs, push.FCM}, Dedupe: 15 * 60_000}}
	return facts{at: noon, tx: &outbox.Tx{Message: m, Recent: &outbox.Recent{}, Devices: []outbox.Device{{ID: "d1", Channel: push.APNs, Token: "aa"}}},
		senders: Fixed{&fake{channel: push.APNs}, &fake{channel: push.FCM}, &fake{channel: push.WebPush}, &fake{channel: push.Webhook}}.Of("")}
}

// onItsWay has the message be with a provider for some devices.
func onItsWay(f *facts, devices ...string) {
	m := f.tx.Message
	m.State, m.Channel, m.Device = outbox.Sending, push.APNs, devices[0]
	for _, d := range devices {
		m.Targets = append(m.Targets, outbox.Target{Device: d, State: outbox.Sending})
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	hour := int64(3_600_000)
	sent := func(ago ...time.Duration) map[string][]freshet.Timestamp {
		var at []freshet.Timestamp
		for _, a := range ago {
			at = append(at, freshet.TimestampOf(noon.Add(-a)))
		}
		return map[string][]freshet.Timestamp{"apns suggestions": at}
	}
	quiet := func(f *facts, hours string) {
		f.settings.Quiet, _ = quiethours.Parse(hours)
	}
	for name, c := range map[string]struct {
		change func(*facts)
		do     action
		reason string
		device string
		until  time.Time
	}{
		"goes":                    {func(f *facts) {}, send, "", "d1", time.Time{}},
		"expired":                 {func(f *facts) { f.at = noon.Add(15 * time.Minute) }, suppress, reasonExpired, "", time.Time{}},
		"a millisecond before":    {func(f *facts) { f.at = noon.Add(15*time.Minute - time.Millisecond) }, send, "", "d1", time.Time{}},
		"taken back":              {func(f *facts) { f.withdrawn = true; f.tx.Preferences.OptOut.All = true }, suppress, reasonWithdrawn, "", time.Time{}},
		"out of all":              {func(f *facts) { f.tx.Preferences.OptOut.All = true }, suppress, reasonOptOut, "", time.Time{}},
		"out of the category":     {func(f *facts) { f.tx.Preferences.OptOut.Categories = []string{"suggestions"} }, suppress, reasonOptOut, "", time.Time{}},
		"out of another":          {func(f *facts) { f.tx.Preferences.OptOut.Categories = []string{"news"} }, send, "", "d1", time.Time{}},
		"out of one channel":      {func(f *facts) { f.tx.Preferences.OptOut.Channels = []push.Channel{push.APNs} }, suppress, reasonNoToken, "", time.Time{}},
		"out of both channels":    {func(f *facts) { f.tx.Preferences.OptOut.Channels = []push.Channel{push.APNs, push.FCM} }, suppress, reasonOptOut, "", time.Time{}},
		"opt-out before holdout":  {func(f *facts) { f.tx.Preferences.OptOut.All = true; f.tx.Message.Policy.Holdout = true }, suppress, reasonOptOut, "", time.Time{}},
		"holdout before presence": {func(f *facts) { f.present = true; f.tx.Message.Policy.Holdout = true }, suppress, reasonHoldout, "", time.Time{}},
		"holdout whatever the caps": {func(f *facts) {
			f.tx.Message.Policy.Holdout, f.tx.Message.Policy.Caps = true, []outbox.Cap{{Count: 1, Window: hour}}
			f.tx.Recent.Sent = sent(time.Minute)
		}, suppress, reasonHoldout, "", time.Time{}},
		"present before duplicate": {func(f *facts) { f.present = true; f.reserve(push.APNs); f.tx.Message.Reserved = 0 }, show, reasonPresent, "", time.Time{}},
		"present, out of the app":  {func(f *facts) { f.present = true; f.tx.Preferences.OptOut.Channels = []push.Channel{push.InApp} }, suppress, reasonOptOut, "", time.Time{}},
		"duplicate":                {func(f *facts) { f.reserve(push.APNs); f.tx.Message.Reserved = 0 }, suppress, reasonDuplicate, "", time.Time{}},
		"another text":             {func(f *facts) { f.reserve(push.APNs); f.tx.Message.Reserved, f.tx.Message.Body = 0, "Sun" }, send, "", "d1", time.Time{}},
		"duplicate, window over": {func(f *facts) {
			f.reserve(push.APNs)
			f.tx.Message.Reserved = 0
			f.at = noon.Add(15 * time.Minute)
			f.tx.Message.ExpiresAt += 1000
		}, send, "", "d1", time.Time{}},
		"quiet":                    {func(f *facts) { quiet(f, "11:00-12:10") }, hold, reasonQuiet, "", noon.Add(10 * time.Minute)},
		"quiet past its time":      {func(f *facts) { quiet(f, "11:00-12:15") }, suppress, reasonExpired, "", time.Time{}},
		"quiet in the user's zone": {func(f *facts) { quiet(f, "21:00-21:10"); f.tx.Preferences.Timezone = "Asia/Tokyo" }, hold, reasonQuiet, "", noon.Add(10 * time.Minute)},
		"the user moved":           {func(f *facts) { quiet(f, "12:00-12:10"); f.tx.Preferences.Timezone = "Asia/Tokyo" }, send, "", "d1", time.Time{}},
		"the user's own hours":     {func(f *facts) { f.tx.Preferences.QuietHours = "12:00-12:05" }, hold, reasonQuiet, "", noon.Add(5 * time.Minute)},
		"the user has none":        {func(f *facts) { quiet(f, "11:00-13:00"); f.tx.Preferences.QuietHours = "off" }, send, "", "d1", time.Time{}},
		"quiet before cap": {func(f *facts) {
			quiet(f, "11:00-12:10")
			f.tx.Message.Policy.Caps, f.tx.Recent.Sent = []outbox.Cap{{Count: 1, Window: hour}}, sent(time.Minute)
		}, hold, reasonQuiet, "", noon.Add(10 * time.Minute)},
		"cap": {func(f *facts) {
			f.tx.Message.Policy.Caps, f.tx.Recent.Sent = []outbox.Cap{{Count: 2, Window: hour}}, sent(59*time.Minute, time.Minute)
		}, suppress, reasonCap, "", time.Time{}},
		"cap, the window rolls": {func(f *facts) {
			f.tx.Message.Policy.Caps, f.tx.Recent.Sent = []outbox.Cap{{Count: 2, Window: hour}}, sent(60*time.Minute, time.Minute)
		}, send, "", "d1", time.Time{}},
		"the second cap": {func(f *facts) {
			f.tx.Message.Policy.Caps, f.tx.Recent.Sent = []outbox.Cap{{Count: 1, Window: hour}, {Count: 3, Window: 24 * hour}}, sent(5*time.Hour, 4*time.Hour, 3*time.Hour)
		}, suppress, reasonCap, "", time.Time{}},
		"another category's": {func(f *facts) {
			f.tx.Message.Policy.Caps, f.tx.Message.Category, f.tx.Recent.Sent = []outbox.Cap{{Count: 1, Window: hour}}, "news", sent(time.Minute)
		}, send, "", "d1", time.Time{}},
		"no device":          {func(f *facts) { f.tx.Devices = nil }, suppress, reasonNoToken, "", time.Time{}},
		"the second channel": {func(f *facts) { f.tx.Devices = []outbox.Device{{ID: "d2", Channel: push.FCM}} }, send, "", "d2", time.Time{}},
		"no sender":          {func(f *facts) { f.senders = Fixed{&fake{channel: push.FCM}}.Of("") }, suppress, reasonNoToken, "", time.Time{}},
		"in the app at last": {func(f *facts) {
			f.tx.Devices, f.tx.Message.Policy.Channels = nil, []push.Channel{push.APNs, push.InApp}
		}, show, "", "", time.Time{}},
		"webhook needs no device": {func(f *facts) { f.tx.Devices, f.tx.Message.Policy.Channels = nil, []push.Channel{push.Webhook} }, send, "", "", time.Time{}},
		"on its way, again": {func(f *facts) {
			f.reserve(push.APNs)
			onItsWay(f, "d1")
			f.present = true
			f.tx.Message.Policy.Caps = []outbox.Cap{{Count: 1, Window: hour}}
		}, send, "", "d1", time.Time{}},
		"on its way, out": {func(f *facts) {
			f.reserve(push.APNs)
			onItsWay(f, "d1")
			f.tx.Preferences.OptOut.Channels = []push.Channel{push.APNs}
		}, fail, "interrupted, then opt_out", "", time.Time{}},
		"on its way, no other device": {func(f *facts) {
			f.reserve(push.APNs)
			onItsWay(f, "d0")
		}, fail, "interrupted, then no_token", "", time.Time{}},
		"on its way, the next device": {func(f *facts) {
			f.reserve(push.APNs)
			f.tx.Devices = append(f.tx.Devices, outbox.Device{ID: "d2", Channel: push.APNs}, outbox.Device{ID: "d3", Channel: push.APNs})
			onItsWay(f, "d1", "d2", "d3")
			f.tx.Message.Targets[0].State, f.tx.Message.Targets[1].DueAt = outbox.Sent, 5
		}, send, "", "d3", time.Time{}},
		"on its way, one has it, then out": {func(f *facts) {
			f.reserve(push.APNs)
			onItsWay(f, "d1", "d2")
			f.tx.Message.Targets[0].State = outbox.Sent
			f.tx.Preferences.OptOut.All = true
		}, finish, reasonOptOut, "", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFacts()
			c.change(&f)
			got := f.decide()
			if got.do != c.do || got.reason != c.reason || got.device.ID != c.device || !got.until.Equal(c.until) {
				t.Fatalf("got %+v, want %v %q %q %v", got, c.do, c.reason, c.device, c.until)
			}
		})
	}
}

// What reserve counts, giveBack takes back.
func TestGiveBack(t *testing.T) {
	t.Parallel()
	f := newFacts()
	f.tx.Message.Channel, f.tx.Message.Policy.Caps = push.APNs, []outbox.Cap{{Count: 1, Window: 3_600_000}}
	f.reserve(push.APNs)
	if !f.capped(push.APNs) || f.capped(push.FCM) {
		t.Error("not counted, or by another channel")
	}
	giveBack(f.tx)
	if f.capped(push.APNs) || f.tx.Message.Reserved != 0 || f.decide().do != send {
		t.Errorf("not taken back: %+v", f.tx.Recent)
	}
}

// What is remembered of a user is bounded.
func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	f := newFacts()
	for i := range 10_000 {
		f.at = noon.Add(time.Duration(i) * time.Minute)
		f.tx.Message.Body = f.at.String()
		f.tx.Message.Policy.Dedupe = 1 << 40
		f.reserve(push.APNs)
	}
	if n, s := len(f.tx.Recent.Sent["apns suggestions"]), len(f.tx.Recent.Seen); n > maxCounted || s > maxSeen {
		t.Errorf("%d counted, %d seen", n, s)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	f := newFacts()
	m := f.tx.Message
	if id := idFor(m, "d1"); len(id) != 36 || id != idFor(m, "d1") || id == idFor(m, "d2") || id[14] != '8' {
		t.Errorf("id %s", id)
	}
	if c := collapseOf("u1", "p"); len(c) != 32 || c != collapseOf("u1", "p") || c == collapseOf("u2", "p") {
		t.Errorf("collapse %s", c)
	}
	held := 0
	for i := range 10_000 {
		if heldOut(freshet.Key(time.Duration(i).String()), "c", 0.05) {
			held++
		}
	}
	if held < 400 || held > 600 {
		t.Errorf("%d of 10,000 held out, want 5 %%", held)
	}
}
