package pushtest

import (
	"crypto/ecdsa"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the fake APNs knows its client by.
const (
	APNsKeyID = "KEYID12345"
	APNsTeam  = "TEAMID1234"
	APNsTopic = "com.example.calm"
)

// APNs starts a fake of Apple's service: HTTP/2 only, over TLS. It knows the public key of key's current value.
func APNs(t testing.TB, key func() *ecdsa.PrivateKey) *Provider {
	p := &Provider{}
	refuse := func(status int, reason string) (Notice, *Answer) {
		return Notice{}, &Answer{Status: status, Body: `{"reason":"` + reason + `"}`}
	}
	p.serve(t, true, func(r *http.Request) (Notice, *Answer) {
		h := r.Header
		body, _ := io.ReadAll(r.Body)
		device, ok := strings.CutPrefix(r.URL.Path, "/3/device/")
		header, claims, signed := verify(strings.TrimPrefix(h.Get("Authorization"), "bearer "), &key().PublicKey)
		switch expires, err := strconv.ParseInt(h.Get("Apns-Expiration"), 10, 64); {
		case r.ProtoMajor != 2:
			return refuse(http.StatusBadRequest, "NotHTTP2")
		case !ok:
			return refuse(http.StatusNotFound, "BadPath")
		case r.Method != http.MethodPost:
			return refuse(http.StatusMethodNotAllowed, "MethodNotAllowed")
		case h.Get("Authorization") == "":
			return refuse(http.StatusForbidden, "MissingProviderToken")
		case !signed || header["kid"] != APNsKeyID || claims["iss"] != APNsTeam:
			return refuse(http.StatusForbidden, "InvalidProviderToken")
		case !about(claims["iat"], time.Now(), time.Hour):
			return refuse(http.StatusForbidden, "ExpiredProviderToken")
		case h.Get("Apns-Topic") != APNsTopic:
			return refuse(http.StatusBadRequest, "DeviceTokenNotForTopic")
		case len(h.Get("Apns-Collapse-Id")) > 64:
			return refuse(http.StatusBadRequest, "BadCollapseId")
		case len(h.Get("Apns-Id")) != 36:
			return refuse(http.StatusBadRequest, "BadMessageId")
		case h.Get("Apns-Push-Type") != "alert":
			return refuse(http.StatusBadRequest, "InvalidPushType")
		case h.Get("Apns-Priority") != "10":
			return refuse(http.StatusBadRequest, "BadPriority")
		case err != nil || expires != 0 && expires < time.Now().Unix():
			return refuse(http.StatusBadRequest, "BadExpirationDate")
		case len(body) == 0:
			return refuse(http.StatusBadRequest, "PayloadEmpty")
		case len(body) > 4096:
			return refuse(http.StatusRequestEntityTooLarge, "PayloadTooLarge")
		default:
			var sent struct {
				APS struct {
					Alert struct{ Title, Body string }
				}
				Prediction json.RawMessage
			}
			if json.Unmarshal(body, &sent) != nil {
				return refuse(http.StatusBadRequest, "BadPayload")
			}
			return Notice{ID: h.Get("Apns-Id"), Token: device, Collapse: h.Get("Apns-Collapse-Id"), Title: sent.APS.Alert.Title, Body: sent.APS.Alert.Body,
				Prediction: string(sent.Prediction), Expires: time.Unix(expires, 0)}, nil
		}
	}, func(w http.ResponseWriter, n Notice) { w.Header().Set("Apns-Id", n.ID) })
	return p
}
