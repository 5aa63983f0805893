package webpush

import (
	"crypto/ecdh"
	"encoding/base64"
	"testing"
)

// The example of RFC 8291.
func TestVector(t *testing.T) {
	t.Parallel()
	raw := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sender, err := ecdh.P256().NewPrivateKey(raw("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	to := receiver{key: raw("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"), auth: raw("BTBZMqHH6r4Tts7J_aSIgg")}
	got, err := encryptWith(sender, raw("DGv6ra1nlYgDCS1FRnbzlw"), to, []byte("When I grow up, I want to be a watermelon"))
	const want = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if err != nil || base64.RawURLEncoding.EncodeToString(got) != want {
		t.Errorf("got %x, %v", got, err)
	}
	if _, err := encryptWith(sender, raw("DGv6ra1nlYgDCS1FRnbzlw"), to, make([]byte, maxPlain+1)); err != errTooLarge {
		t.Errorf("one byte too long: %v", err)
	}
	if body, err := encrypt(to, make([]byte, maxPlain)); err != nil || len(body) != recordSize {
		t.Errorf("the longest: %d bytes, %v", len(body), err)
	}
}

// FuzzToken: what a client registers is an error or a receiver, never a panic.
func FuzzToken(f *testing.F) {
	f.Add(`{"endpoint":"https://a.example","keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`)
	f.Fuzz(func(t *testing.T, token string) {
		if r, err := parseToken(token); err == nil {
			_, _ = encrypt(r, nil)
		}
	})
}
