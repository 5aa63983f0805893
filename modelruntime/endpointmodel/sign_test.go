package endpointmodel

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// The example key of AWS's documentation; it opens nothing.
const (
	exampleID  = "AKIDEXAMPLE"
	exampleKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

func TestMain(m *testing.M) {
	setSecrets()
	m.Run()
}

// setSecrets sets what the files of the tests name. Tests in parallel cannot set it themselves.
func setSecrets() {
	os.Setenv("FRESHET_ENDPOINT_ID", exampleID)
	os.Setenv("FRESHET_ENDPOINT_KEY", exampleKey)
	os.Setenv("FRESHET_ENDPOINT_SESSION", "session")
}

// signatureOf computes a signature of version 4 from what was received, by the published rules and without the signer.
func signatureOf(r *http.Request, body []byte, key string) string {
	authorization := r.Header.Get("Authorization")
	field := func(name string) string {
		_, rest, _ := strings.Cut(authorization, name+"=")
		value, _, _ := strings.Cut(rest, ",")
		return value
	}
	_, scope, _ := strings.Cut(field("Credential"), "/")
	signed := field("SignedHeaders")
	var headers strings.Builder
	for _, name := range strings.Split(signed, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(value))
	}
	path := strings.ReplaceAll(url.PathEscape(r.URL.EscapedPath()), "%2F", "/")
	hash := sha256.Sum256(body)
	canonical := strings.Join([]string{r.Method, path, r.URL.RawQuery, headers.String(), signed, hex.EncodeToString(hash[:])}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), scope, hex.EncodeToString(hashed[:])}, "\n")
	k := []byte("AWS4" + key)
	for _, part := range strings.Split(scope, "/") {
		k = mac(k, part)
	}
	return hex.EncodeToString(mac(k, toSign))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

// The check itself, against a request that botocore signed.
func TestSignatureOfAgreesWithBotocore(t *testing.T) {
	t.Parallel()
	const body = `{"Record":[{"FeatureName":"a","ValueAsString":"1"}]}`
	r := httptest.NewRequest("PUT", "http://127.0.0.1:8080/FeatureGroup/user-activity", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Date", "20260301T120000Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260301/us-east-1/sagemaker/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=x")
	if got := signatureOf(r, []byte(body), exampleKey); got != "d187fb68e50671571a11534de470dc938a7076fc0bbbcc7be5a489dde4cacfb8" {
		t.Errorf("got %s", got)
	}
}

func TestRequestsAreSigned(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		authorization := r.Header.Get("Authorization")
		_, got, _ := strings.Cut(authorization, "Signature=")
		if want := signatureOf(r, body, exampleKey); got != want {
			t.Errorf("signature %s, expected %s", got, want)
		}
		if !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential="+exampleID+"/20260301/eu-west-1/sagemaker/aws4_request, ") || !strings.Contains(authorization, "host;") {
			t.Errorf("Authorization %s", authorization)
		}
		if r.Header.Get("X-Amz-Security-Token") != "session" {
			t.Error("the session's token is missing")
		}
		io.WriteString(w, "1\n")
	}))
	defer server.Close()
	m := mustOpen(t, fmt.Sprintf(`{"format":"freshet.endpoint/1","protocol":"sagemaker","model":"my model","url":%q,"inputs":[{"name":"a"}],"timeout":"20s",`+
		`"aws":{"region":"eu-west-1","key_id_env":"FRESHET_ENDPOINT_ID","secret_env":"FRESHET_ENDPOINT_KEY","session_env":"FRESHET_ENDPOINT_SESSION"}}`, server.URL))
	m.(*model).caller.now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	if _, err := predictOne(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}
