package pushtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Browser is a fake push service with one browser behind it, which decrypts. Whatever the path of an endpoint at URL is, it is a subscription of that browser.
type Browser struct {
	*Provider
	key  *ecdh.PrivateKey
	auth []byte
}

// WebPush starts a fake push service; subject is what the sender's VAPID tokens must say.
func WebPush(t testing.TB, subject string) *Browser {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{Provider: &Provider{}, key: key, auth: make([]byte, 16)}
	rand.Read(b.auth)
	b.serve(t, true, func(r *http.Request) (Notice, *Answer) { return b.read(r, subject) },
		func(w http.ResponseWriter, n Notice) { w.WriteHeader(http.StatusCreated) })
	b.Subscription = b.At("/send/1")
	return b
}

// At is the subscription whose endpoint has a path, as JSON.
func (b *Browser) At(path string) string {
	e := base64.RawURLEncoding
	return fmt.Sprintf(`{"endpoint":"%s%s","expirationTime":null,"keys":{"p256dh":"%s","auth":"%s"}}`,
		b.URL, path, e.EncodeToString(b.key.PublicKey().Bytes()), e.EncodeToString(b.auth))
}

func (b *Browser) read(r *http.Request, subject string) (Notice, *Answer) {
	token, public, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "vapid t="), ", k=")
	raw, err := base64.RawURLEncoding.DecodeString(public)
	if err != nil {
		return Notice{}, &Answer{Status: http.StatusUnauthorized}
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	if err != nil {
		return Notice{}, &Answer{Status: http.StatusUnauthorized}
	}
	_, claims, signed := verify(token, key)
	if !signed || claims["aud"] != "https://"+r.Host || claims["sub"] != subject || !about(claims["exp"], time.Now(), 24*time.Hour) {
		return Notice{}, &Answer{Status: http.StatusForbidden}
	}
	ttl, err := strconv.Atoi(r.Header.Get("TTL"))
	body, _ := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") != "aes128gcm" || len(r.Header.Get("Topic")) > 32 {
		return Notice{}, &Answer{Status: http.StatusBadRequest}
	}
	if len(body) > 4096 {
		return Notice{}, &Answer{Status: http.StatusRequestEntityTooLarge}
	}
	plain, err := b.decrypt(body)
	if err != nil {
		return Notice{}, &Answer{Status: http.StatusBadRequest, Body: err.Error()}
	}
	var sent struct {
		ID, Title, Body string
		Prediction      json.RawMessage
	}
	if err := json.Unmarshal(plain, &sent); err != nil {
		return Notice{}, &Answer{Status: http.StatusBadRequest}
	}
	return Notice{ID: sent.ID, Token: b.At(r.URL.Path), Collapse: r.Header.Get("Topic"), Title: sent.Title, Body: sent.Body, Prediction: string(sent.Prediction),
		Expires: time.Now().Add(time.Duration(ttl) * time.Second)}, nil
}

// decrypt is RFC 8291 from the receiver's side.
func (b *Browser) decrypt(body []byte) ([]byte, error) {
	if len(body) < 86 || body[20] != 65 {
		return nil, fmt.Errorf("no header of RFC 8188")
	}
	salt, senderKey := body[:16], body[21:86]
	theirs, err := ecdh.P256().NewPublicKey(senderKey)
	if err != nil {
		return nil, err
	}
	shared, err := b.key.ECDH(theirs)
	if err != nil {
		return nil, err
	}
	material, _ := hkdf.Key(sha256.New, shared, b.auth, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(senderKey), 32)
	key, _ := hkdf.Key(sha256.New, material, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, _ := hkdf.Key(sha256.New, material, salt, "Content-Encoding: nonce\x00", 12)
	block, _ := aes.NewCipher(key)
	gcm, _ := cipher.NewGCM(block)
	plain, err := gcm.Open(nil, nonce, body[86:], nil)
	if err != nil || len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, fmt.Errorf("the record cannot be decrypted: %v", err)
	}
	return plain[:len(plain)-1], nil
}
