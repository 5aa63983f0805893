// Package jwt is a kit: it signs the JSON Web Tokens by which push providers know us, ES256 and RS256. It verifies none, and has no clock.
package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"

	"github.com/freshet-ml/freshet"
)

// ES256 signs claims, a struct or map, with a key of the curve P-256. keyID is left out if it is "".
func ES256(key *ecdsa.PrivateKey, keyID string, claims any) (string, error) {
	signed, sum, err := body("ES256", keyID, claims)
	if err != nil {
		return "", err
	}
	signature, err := signES256(key, sum)
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// signES256 is the two numbers of the signature, 32 bytes each.
func signES256(key *ecdsa.PrivateKey, sum []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, sum)
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "sign a token: %w", err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}

// RS256 signs claims, a struct or map, with an RSA key. keyID is left out if it is "".
func RS256(key *rsa.PrivateKey, keyID string, claims any) (string, error) {
	signed, sum, err := body("RS256", keyID, claims)
	if err != nil {
		return "", err
	}
	signature, err := signRS256(key, sum)
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func signRS256(key *rsa.PrivateKey, sum []byte) ([]byte, error) {
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum)
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "sign a token: %w", err)
	}
	return signature, nil
}

// body is what is signed, header and claims, with its hash.
func body(algorithm, keyID string, claims any) (text string, sum []byte, err error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		KeyID     string `json:"kid,omitempty"`
	}{algorithm, "JWT", keyID})
	if err != nil {
		return "", nil, err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", nil, err
	}
	text = base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	hash := sha256.Sum256([]byte(text))
	return text, hash[:], nil
}

// ParseP256 reads a P-256 key from PEM, PKCS #8 (as Apple's .p8 files) or SEC 1.
func ParseP256(text []byte) (*ecdsa.PrivateKey, error) {
	key, err := parse(text, func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) })
	if ec, ok := key.(*ecdsa.PrivateKey); err == nil && ok && ec.Curve == elliptic.P256() {
		return ec, nil
	}
	return nil, freshet.Errorf(freshet.InvalidArgument, "the key is no P-256 private key in PEM")
}

// ParseRSA reads an RSA key from PEM, PKCS #8 (as in Google's service accounts) or PKCS #1.
func ParseRSA(text []byte) (*rsa.PrivateKey, error) {
	key, err := parse(text, func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) })
	if k, ok := key.(*rsa.PrivateKey); err == nil && ok {
		return k, nil
	}
	return nil, freshet.Errorf(freshet.InvalidArgument, "the key is no RSA private key in PEM")
}

// parse says nothing about the text in its error: it is a secret.
func parse(text []byte, other func([]byte) (any, error)) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "no PEM")
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	return other(block.Bytes)
}
