package endpointmodel

import (
	"encoding/json"
	"net/http"
	"strings"

	freshet "github.com/freshet-ml/freshet"
)

// refused is the body of an error, in any of the protocols.
type refused struct {
	Error              any    `json:"error"`   // OIP
	Lower              string `json:"message"` // MLflow; encoding/json finds SageMaker's Message by it, too
	Detail             any    `json:"detail"`  // FastAPI, which several servers are made with
	OriginalStatusCode int    `json:"OriginalStatusCode"`
	OriginalMessage    string `json:"OriginalMessage"`
}

// refusal is the error for an answer that is not 200. What the remote refuses about the rows is InvalidArgument; all else
// says that it cannot be asked now. It may be asked again where the protocols say so: 429, 502, 503 and 504.
func refusal(status int, body []byte) error {
	var r refused
	text := strings.TrimSpace(string(body[:min(len(body), 4<<10)]))
	if json.Unmarshal(body, &r) == nil {
		for _, v := range []any{r.OriginalMessage, r.Error, r.Lower, r.Detail} {
			if s, ok := v.(string); ok && s != "" {
				text = s
				break
			}
		}
	}
	if status == http.StatusFailedDependency && r.OriginalStatusCode != 0 { // SageMaker: what the container answered
		status = r.OriginalStatusCode
	}
	text = strings.ToValidUTF8(text[:min(len(text), 500)], "�")
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusFailedDependency:
		return freshet.Errorf(freshet.InvalidArgument, "it refuses the rows (%d): %s", status, text)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &retryable{error: freshet.Errorf(freshet.Unavailable, "it answered %d: %s", status, text)}
	}
	return freshet.Errorf(freshet.Unavailable, "it answered %d: %s", status, text)
}
