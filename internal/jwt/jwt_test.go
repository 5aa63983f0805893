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
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
)

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number(t *testing.T, s string) *big.Int { return new(big.Int).SetBytes(unbase64(t, s)) }

// exampleRSA is the key of RFC 7515, appendix A.2.
func exampleRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{E: 65537, N: number(t, "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs"+
			"D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV"+
			"MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ")},
		D: number(t, "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0"+
			"BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYT"+
			"CBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ"),
		Primes: []*big.Int{
			number(t, "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPG"+
				"BY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc"),
			number(t, "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA"+
				"-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc"),
		},
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		t.Fatal(err)
	}
	return key
}

// exampleEC is the key of RFC 7515, appendix A.3.
func exampleEC(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), unbase64(t, "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// examplePayload is that of the examples of RFC 7515.
const examplePayload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

func sumOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// tokenOf splits a token, whose header and claims must be these.
func tokenOf(t *testing.T, token, header, claims string) (sum, signature []byte) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q has %d parts", token, len(parts))
	}
	if h, c := string(unbase64(t, parts[0])), string(unbase64(t, parts[1])); h != header || c != claims {
		t.Errorf("header %s, claims %s", h, c)
	}
	return sumOf(parts[0] + "." + parts[1]), unbase64(t, parts[2])
}

// TestRS256 signs what RFC 7515 signs in its appendix A.2, by the same key: RS256 leaves nothing to chance.
func TestRS256(t *testing.T) {
	t.Parallel()
	const want = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4" +
		"BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv" +
		"hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
	key := exampleRSA(t)
	got, err := signRS256(key, sumOf("eyJhbGciOiJSUzI1NiJ9."+examplePayload))
	if err != nil || base64.RawURLEncoding.EncodeToString(got) != want {
		t.Errorf("signed %x, %v", got, err)
	}
	token, err := RS256(key, "k1", map[string]any{"iss": "joe"})
	if err != nil {
		t.Fatal(err)
	}
	sum, signature := tokenOf(t, token, `{"alg":"RS256","typ":"JWT","kid":"k1"}`, `{"iss":"joe"}`)
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum, signature); err != nil {
		t.Error(err)
	}
}

// verifiesES256 reads a signature as RFC 7518 says: two numbers of 32 bytes.
func verifiesES256(key *ecdsa.PrivateKey, sum, signature []byte) bool {
	return len(signature) == 64 && ecdsa.Verify(&key.PublicKey, sum, new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// TestES256: our signatures are of the form that the example of RFC 7515, appendix A.3, has; they differ each time.
func TestES256(t *testing.T) {
	t.Parallel()
	key := exampleEC(t)
	example := sumOf("eyJhbGciOiJFUzI1NiJ9." + examplePayload)
	if !verifiesES256(key, example, unbase64(t, "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")) {
		t.Fatal("the example itself does not verify")
	}
	for range 300 { // among them numbers that begin with zeros
		signature, err := signES256(key, example)
		if err != nil || !verifiesES256(key, example, signature) {
			t.Fatalf("%x, %v", signature, err)
		}
	}
	token, err := ES256(key, "", struct {
		Issuer string `json:"iss"`
	}{"joe"})
	if err != nil {
		t.Fatal(err)
	}
	if sum, signature := tokenOf(t, token, `{"alg":"ES256","typ":"JWT"}`, `{"iss":"joe"}`); !verifiesES256(key, sum, signature) {
		t.Errorf("%x", signature)
	}
}

func TestClaimsThatAreNoJSON(t *testing.T) {
	t.Parallel()
	if _, err := ES256(exampleEC(t), "", func() {}); err == nil {
		t.Error("ES256 signed a function")
	}
	if _, err := RS256(exampleRSA(t), "", func() {}); err == nil {
		t.Error("RS256 signed a function")
	}
}

// TestParse: keys come as Apple and Google give them, or as openssl does; what is none says nothing of itself, because it is a secret.
func TestParse(t *testing.T) {
	t.Parallel()
	text := func(kind string, der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return text("PRIVATE KEY", der, err)
	}
	ec, r := exampleEC(t), exampleRSA(t)
	sec1, err := x509.MarshalECPrivateKey(ec)
	wantEC := [][]byte{pkcs8(ec), text("EC PRIVATE KEY", sec1, err)}
	wantRSA := [][]byte{pkcs8(r), text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil)}
	for _, b := range wantEC {
		if key, err := ParseP256(b); err != nil || !key.Equal(ec) {
			t.Errorf("%s: %v", b[:27], err)
		}
	}
	for _, b := range wantRSA {
		if key, err := ParseRSA(b); err != nil || !key.Equal(r) {
			t.Errorf("%s: %v", b[:27], err)
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "no PEM": []byte("secret"), "empty": text("PRIVATE KEY", nil, nil), "cut": text("PRIVATE KEY", []byte("secret"), nil), "P-384": pkcs8(other), "RSA": wantRSA[0],
	} {
		if _, err := ParseP256(b); freshet.CodeOf(err) != freshet.InvalidArgument || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s as P-256: %v", name, err)
		}
		if name == "RSA" {
			b = wantEC[0]
		}
		if _, err := ParseRSA(b); freshet.CodeOf(err) != freshet.InvalidArgument || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s as RSA: %v", name, err)
		}
	}
}
