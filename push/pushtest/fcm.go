package pushtest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// FCMProject is the project of the fake.
const FCMProject = "calm-test"

const fcmEmail = "push@calm-test.example.com"

// FCMServer is a fake of FCM with its token endpoint.
type FCMServer struct {
	*Provider
	Account []byte       // the service account's JSON
	Grants  atomic.Int64 // access tokens given
	Revoked atomic.Int64 // access tokens up to this one are not taken any more
	Grant   atomic.Pointer[Answer]
}

// FCM starts a fake of Firebase Cloud Messaging that knows the service account of key.
func FCM(t testing.TB, key *rsa.PrivateKey) *FCMServer {
	t.Helper()
	f := &FCMServer{Provider: &Provider{}}
	tokens := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.token(w, r, key) }))
	t.Cleanup(tokens.Close)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f.Account, _ = json.Marshal(map[string]string{
		"type": "service_account", "project_id": FCMProject, "client_email": fcmEmail, "private_key_id": "key1", "token_uri": tokens.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	f.serve(t, true, f.read, func(w http.ResponseWriter, n Notice) {
		fmt.Fprintf(w, `{"name":"projects/%s/messages/%s"}`, FCMProject, n.ID)
	})
	return f
}

// token is the OAuth exchange.
func (f *FCMServer) token(w http.ResponseWriter, r *http.Request, key *rsa.PrivateKey) {
	if a := f.Grant.Load(); a != nil {
		w.WriteHeader(a.Status)
		fmt.Fprint(w, a.Body)
		return
	}
	_, claims, signed := verify(r.FormValue("assertion"), &key.PublicKey)
	now := time.Now()
	if r.Method != http.MethodPost || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || !signed || claims["iss"] != fcmEmail ||
		claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging" || claims["aud"] != "https://"+r.Host+"/token" ||
		!about(claims["iat"], now, time.Minute) || !about(claims["exp"], now, time.Hour+time.Minute) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid JWT"}`)
		return
	}
	fmt.Fprintf(w, `{"access_token":"access-%d","expires_in":3599,"token_type":"Bearer"}`, f.Grants.Add(1))
}

// FCMError is an error as FCM writes it.
func FCMError(status int, name, code string) Answer {
	details := ""
	if code != "" {
		details = fmt.Sprintf(`,"details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":%q}]`, code)
	}
	return Answer{Status: status, Body: fmt.Sprintf(`{"error":{"code":%d,"message":"no","status":%q%s}}`, status, name, details)}
}

func (f *FCMServer) read(r *http.Request) (Notice, *Answer) {
	refuse := func(status int, name, code string) (Notice, *Answer) {
		a := FCMError(status, name, code)
		return Notice{}, &a
	}
	var n int64
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer access-%d", &n); err != nil || n > f.Grants.Load() || n <= f.Revoked.Load() {
		return refuse(http.StatusUnauthorized, "UNAUTHENTICATED", "")
	}
	if r.URL.Path != "/v1/projects/"+FCMProject+"/messages:send" || r.Method != http.MethodPost {
		return refuse(http.StatusNotFound, "NOT_FOUND", "")
	}
	var sent struct {
		Message struct {
			Token        string
			Notification struct{ Title, Body string }
			Data         map[string]string // texts only: anything else is refused
			Android      struct {
				CollapseKey  string `json:"collapse_key"`
				TTL          string
				Notification struct{ Tag string }
			}
			APNs    struct{ Headers map[string]string }
			WebPush struct {
				Headers      map[string]string
				Notification struct{ Tag string }
			}
		}
	}
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &sent); err != nil {
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
	}
	m := sent.Message
	ttl, err := time.ParseDuration(m.Android.TTL)
	if err != nil || !strings.HasSuffix(m.Android.TTL, "s") {
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
	}
	expires := time.Now().Add(ttl)
	if ttl == 0 {
		expires = time.Unix(0, 0)
	}
	moment, err := strconv.ParseInt(m.APNs.Headers["apns-expiration"], 10, 64)
	same := err == nil && time.Unix(moment, 0).Sub(expires).Abs() < time.Minute && m.WebPush.Headers["TTL"]+"s" == m.Android.TTL
	for _, collapse := range []string{m.Android.Notification.Tag, m.APNs.Headers["apns-collapse-id"], m.WebPush.Headers["Topic"], m.WebPush.Notification.Tag} {
		same = same && collapse == m.Android.CollapseKey
	}
	if !same { // our own wish: a device is told the same, whatever it is
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
	}
	return Notice{ID: m.Data["message_id"], Token: m.Token, Collapse: m.Android.CollapseKey, Title: m.Notification.Title, Body: m.Notification.Body,
		Prediction: m.Data["prediction"], Expires: time.Now().Add(ttl)}, nil
}
