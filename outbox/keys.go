package outbox

import (
	"encoding/binary"

	"github.com/freshet-ml/freshet"
)

// The first byte of a key says what it is (docs/formats/outbox.md).
const (
	keyMessage     = 'm' // id
	keyDue         = 'q' // moment, id
	keyOfUser      = 'u' // user, id
	keyDevice      = 'd' // user, device
	keyPreferences = 'p' // user
	keyRecent      = 'c' // user
	keyInApp       = 's' // user, sequence
)

// userKinds are the kinds of keys that begin with a user.
const userKinds = "udpcs"

func messageKey(id freshet.JobID) []byte { return append([]byte{keyMessage}, id...) }

func dueKey(at freshet.Timestamp, id freshet.JobID) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{keyDue}, uint64(at)), id...)
}

func idOfDue(key []byte) (freshet.Timestamp, freshet.JobID) {
	if len(key) < 9 {
		return 0, ""
	}
	return freshet.Timestamp(binary.BigEndian.Uint64(key[1:9])), freshet.JobID(key[9:])
}

// userKey is the beginning of the keys of one kind of one user and of nobody else's: 00 in the user's key is 00 ff, and its end 00 01.
func userKey(kind byte, user freshet.Key) []byte {
	b := make([]byte, 0, len(user)+24)
	b = append(b, kind)
	for i := range len(user) {
		b = append(b, user[i])
		if user[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return append(b, 0, 1)
}

func inAppKey(user freshet.Key, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(userKey(keyInApp, user), seq)
}

// behind is the first key behind all that begin with prefix, whose last byte is not ff.
func behind(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}
