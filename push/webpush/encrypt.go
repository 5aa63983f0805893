package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	recordSize = 4096
	saltBytes  = 16
	keyBytes   = 65 // of a point, uncompressed
	// maxPlain is what fits into the one record: a push service need not take more than 4,096 bytes.
	maxPlain = recordSize - saltBytes - 4 - 1 - keyBytes - 16 - 1
)

var errTooLarge = errors.New("the message is too large")

func point(key []byte) (*ecdh.PublicKey, error) { return ecdh.P256().NewPublicKey(key) }

// encrypt makes the body of a request with a fresh key and salt.
func encrypt(to receiver, plain []byte) ([]byte, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	return encryptWith(key, salt, to, plain)
}

// encryptWith is RFC 8291: one record of RFC 8188, whose header carries the sender's key.
func encryptWith(sender *ecdh.PrivateKey, salt []byte, to receiver, plain []byte) ([]byte, error) {
	if len(plain) > maxPlain {
		return nil, errTooLarge
	}
	theirs, err := point(to.key)
	if err != nil {
		return nil, err
	}
	shared, err := sender.ECDH(theirs)
	if err != nil {
		return nil, err
	}
	ours := sender.PublicKey().Bytes()
	material, err := hkdf.Key(sha256.New, shared, to.auth, "WebPush: info\x00"+string(to.key)+string(ours), 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	body := append([]byte(nil), salt...)
	body = binary.BigEndian.AppendUint32(body, recordSize)
	body = append(append(body, keyBytes), ours...)
	return gcm.Seal(body, nonce, append(append([]byte(nil), plain...), 2), nil), nil // 2: the last record, no padding
}
