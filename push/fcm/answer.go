package fcm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/freshet-ml/freshet/push"
)

// unauthenticated is what Google says to an access token that it does not take.
const unauthenticated = "UNAUTHENTICATED"

// minQuotaWait is how long FCM wants us to wait when its quota is used up and it does not say.
const minQuotaWait = time.Minute

// answer is what FCM says.
type answer struct {
	Name  string `json:"name"`
	Error struct {
		Status  string `json:"status"`
		Details []struct {
			Type       string `json:"@type"`
			ErrorCode  string `json:"errorCode"`
			Violations []struct {
				Field string `json:"field"`
			} `json:"fieldViolations"`
		} `json:"details"`
	} `json:"error"`
}

// judge says what FCM's answer means.
func judge(r *http.Response, body []byte, now time.Time) push.Result {
	var said answer
	_ = json.Unmarshal(body, &said) // of an answer that is no JSON the status is enough
	if r.StatusCode == http.StatusOK {
		return push.Result{Outcome: push.Sent, ProviderID: push.Clip(said.Name)}
	}
	code, badToken := "", false
	for _, d := range said.Error.Details {
		if strings.HasSuffix(d.Type, "FcmError") {
			code = d.ErrorCode
		}
		for _, v := range d.Violations {
			badToken = badToken || v.Field == "message.token"
		}
	}
	code = cmp.Or(code, said.Error.Status)
	result := push.Result{Outcome: push.Rejected, Reason: push.Clip(cmp.Or(code, fmt.Sprintf("status %d", r.StatusCode)))}
	switch {
	case code == "UNREGISTERED", code == "SENDER_ID_MISMATCH", code == "INVALID_ARGUMENT" && badToken:
		result.Outcome = push.Gone
	case code == "QUOTA_EXCEEDED", r.StatusCode == http.StatusTooManyRequests:
		result.Outcome, result.Wide = push.Retry, true
		result.After = cmp.Or(push.RetryAfter(r.Header, now), minQuotaWait)
	case r.StatusCode >= 500:
		result.Outcome, result.Wide, result.After = push.Retry, true, push.RetryAfter(r.Header, now)
	case r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden:
		result.Outcome = push.Unauthorized
	case r.StatusCode == http.StatusRequestTimeout:
		result.Outcome, result.Wide = push.Retry, true
	}
	return result
}
