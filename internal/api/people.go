package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/quiethours"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// user is the user that the path names.
func (a *API) user(r *http.Request) (freshet.Key, error) {
	rel, err := a.live()
	if err != nil {
		return "", err
	}
	defer rel.Unpin()
	e, _, err := pathEntity(rel, r)
	return e.Key, err
}

// shownDevice is a device without its token, which is as good as a key.
type shownDevice struct {
	ID           string            `json:"id"`
	Channel      push.Channel      `json:"channel"`
	RegisteredAt freshet.Timestamp `json:"registered_at"`
}

func (a *API) getDevices(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	user, err := a.user(r)
	if err != nil {
		return err
	}
	devices, err := a.deps.People.Devices(r.Context(), user)
	if err != nil {
		return err
	}
	list := make([]shownDevice, len(devices))
	for i, d := range devices {
		list[i] = shownDevice{d.ID, d.Channel, d.RegisteredAt}
	}
	return w.value(http.StatusOK, map[string]any{"devices": list})
}

// putDevice registers where a user can be reached. The token of a browser is its subscription, an object.
func (a *API) putDevice(w *response, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}
	var sent struct {
		Channel push.Channel    `json:"channel"`
		Token   json.RawMessage `json:"token"`
	}
	if err := a.readJSON(w, r, &sent); err != nil {
		return err
	}
	d := outbox.Device{ID: r.PathValue("device"), Channel: sent.Channel, RegisteredAt: a.now()}
	if len(sent.Token) == 0 {
		return invalid("token", "missing; expected the provider's token, or the subscription of a browser")
	}
	if sent.Token[0] == '{' {
		d.Token = string(sent.Token)
	} else if err := json.Unmarshal(sent.Token, &d.Token); err != nil {
		return invalid("token", "expected a text, or the subscription of a browser as an object")
	}
	if err := a.deps.Deliveries.CheckDevice(d); err != nil {
		return err
	}
	if err := a.deps.People.PutDevice(r.Context(), user, d); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) deleteDevice(w *response, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}
	if err := a.deps.People.DeleteDevice(r.Context(), user, r.PathValue("device")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) getPreferences(w *response, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}
	p, err := a.deps.People.Preferences(r.Context(), user)
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, p)
}

// putPreferences replaces all that the user has said.
func (a *API) putPreferences(w *response, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}
	var p outbox.Preferences
	if err := a.readJSON(w, r, &p); err != nil {
		return err
	}
	if err := checkPreferences(p); err != nil {
		return err
	}
	if err := a.deps.People.PutPreferences(r.Context(), user, p); err != nil {
		return err
	}
	return w.value(http.StatusOK, p)
}

const maxOptOuts = 100

func checkPreferences(p outbox.Preferences) error {
	if p.QuietHours != "" {
		if _, err := quiethours.Parse(p.QuietHours); err != nil {
			return invalid("quiet_hours", "%w", err)
		}
	}
	if p.Timezone != "" {
		if _, err := quiethours.Zone(p.Timezone); err != nil {
			return invalid("timezone", "%w", err)
		}
	}
	if len(p.OptOut.Channels) > maxOptOuts || len(p.OptOut.Categories) > maxOptOuts {
		return invalid("opt_out", "over %d entries", maxOptOuts)
	}
	channels := []push.Channel{push.APNs, push.FCM, push.WebPush, push.Webhook, push.InApp}
	for _, c := range p.OptOut.Channels {
		if !slices.Contains(channels, c) {
			return invalid("opt_out.channels", "%.40q is no channel; expected one of %v", c, channels)
		}
	}
	for _, c := range p.OptOut.Categories {
		if c == "" || len(c) > 63 {
			return invalid("opt_out.categories", "%.40q: expected a name of 1 to 63 bytes", c)
		}
	}
	return nil
}
