package pushtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Webhook starts a receiver of Standard Webhooks that knows a secret, whsec_….
func Webhook(t testing.TB, secret string) *Provider {
	p := &Provider{}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	p.serve(t, true, func(r *http.Request) (Notice, *Answer) {
		body, _ := io.ReadAll(r.Body)
		id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
		mac := hmac.New(sha256.New, key)
		io.WriteString(mac, id+"."+at+"."+string(body))
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		seconds, err := strconv.ParseInt(at, 10, 64)
		if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute || !strings.Contains(" "+r.Header.Get("webhook-signature")+" ", " "+want+" ") {
			return Notice{}, &Answer{Status: http.StatusUnauthorized}
		}
		var sent struct {
			Type string
			Data struct {
				Title, Body string
				ExpiresAt   time.Time `json:"expires_at"`
				Prediction  json.RawMessage
			}
		}
		if json.Unmarshal(body, &sent) != nil || sent.Type != "prediction.created" || len(body) > 20<<10 {
			return Notice{}, &Answer{Status: http.StatusBadRequest}
		}
		d := sent.Data
		return Notice{ID: strings.TrimPrefix(id, "msg_"), Title: d.Title, Body: d.Body, Prediction: string(d.Prediction), Expires: d.ExpiresAt}, nil
	}, func(w http.ResponseWriter, n Notice) { w.WriteHeader(http.StatusNoContent) })
	return p
}
