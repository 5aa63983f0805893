package apns

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/freshet-ml/freshet/push"
)

const expiredProviderToken = "ExpiredProviderToken"

// judge says what Apple's answer means.
func judge(r *http.Response, body []byte, now time.Time) push.Result {
	if r.StatusCode == http.StatusOK {
		return push.Result{Outcome: push.Sent, ProviderID: r.Header.Get("Apns-Id")}
	}
	var said struct {
		Reason    string `json:"reason"`
		Timestamp int64  `json:"timestamp"` // ms
	}
	if json.Unmarshal(body, &said) != nil || said.Reason == "" {
		said.Reason = fmt.Sprintf("status %d", r.StatusCode)
	}
	result := push.Result{Outcome: push.Rejected, Reason: push.Clip(said.Reason)}
	switch r.StatusCode {
	case http.StatusBadRequest:
		switch said.Reason {
		case "BadDeviceToken", "DeviceTokenNotForTopic":
			result.Outcome = push.Gone
		case "IdleTimeout": // the connection was closed under the request
			result.Outcome, result.Wide = push.Retry, true
		}
	case http.StatusForbidden:
		result.Outcome = push.Unauthorized
	case http.StatusGone:
		result.Outcome = push.Gone
		if said.Timestamp > 0 {
			result.GoneSince = time.UnixMilli(said.Timestamp)
		}
	case http.StatusTooManyRequests:
		result.Outcome, result.After = push.Retry, push.RetryAfter(r.Header, now)
		result.Wide = said.Reason != "TooManyRequests" // that one is about the device
	default:
		if r.StatusCode >= 500 {
			result.Outcome, result.After, result.Wide = push.Retry, push.RetryAfter(r.Header, now), true
		}
	}
	return result
}
