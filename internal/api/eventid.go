package api

import (
	"encoding/hex"
	"math/rand/v2"

	"github.com/freshet-ml/freshet"
)

// newEventID makes an id for an event that came without: a UUID of version 7, whose time is the ingest time. The random
// numbers are ChaCha8 seeded by the operating system: nobody can guess an id, and making one takes no lock.
func newEventID(ingest freshet.Timestamp) freshet.EventID {
	high := uint64(ingest)<<16 | 7<<12 | rand.Uint64()>>52
	low := 2<<62 | rand.Uint64()>>2
	var id [16]byte
	for i := range 8 {
		id[i] = byte(high >> (56 - 8*i))
		id[8+i] = byte(low >> (56 - 8*i))
	}
	var text [36]byte
	hex.Encode(text[0:], id[0:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return freshet.EventID(text[:])
}
