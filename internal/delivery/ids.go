package delivery

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/outbox"
)

// idFor is the id under which a provider gets the message for a device: a UUID (version 8), made from what does not change, so that it is the same after
// a crash and in a replay.
func idFor(m *outbox.Message, device string) string {
	sum := sha256.Sum256([]byte("freshet push\x00" + string(m.ID) + "\x00" + string(m.User) + "\x00" + device))
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// collapseOf is the same for all messages of a user and pipeline: 32 characters of base64url, which fits every provider.
func collapseOf(user freshet.Key, pipeline freshet.PipelineName) string {
	sum := sha256.Sum256([]byte(string(pipeline) + "\x00" + string(user)))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}
