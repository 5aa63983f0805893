package disktables

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/tablestore"
)

// TestGolden: these bytes are those of docs/formats/tables.md and lie on users' disks. They never change.
func TestGolden(t *testing.T) {
	t.Parallel()
	if got, want := hex.EncodeToString(appendKey(nil, "profile", "u\x001")), "7470726f66696c650001"+"750031"; got != want {
		t.Errorf("key is\n%s, want\n%s", got, want)
	}
	for want, row := range map[string]tablestore.Row{
		"0100" + "b960" + "6162":                    {EventTime: 12345, Data: []byte("ab")},
		"0102" + "8080898b948b9103" + "b960" + "00": {EventTime: 1_764_000_000_000_000, ExpiresAt: 12345, Data: []byte{0}},
		"0101" + "00":                               {Deleted: true, Data: []byte{}},
		"0100" + "80c0c3c188c827" + "":              {EventTime: 174_000_000_000_000, Data: []byte{}},
	} {
		got := appendRow(nil, &row)
		if hex.EncodeToString(got) != want {
			t.Errorf("%+v is\n%x, want\n%s", row, got, want)
		}
		if back, err := decodeRow(got); err != nil || !reflect.DeepEqual(back, row) {
			t.Errorf("read %+v (%v), want %+v", back, err, row)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"nothing": "", "version": "0200b960", "flags": "0104b960", "no moment": "0100", "half a moment": "0100b9",
		"no end": "0102b960", "tombstone with data": "0101b96061", "end that is none": "0102b96000",
		"moment over 63 bits": "0100ffffffffffffffffff01",
	} {
		b, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeRow(b); freshet.CodeOf(err) != freshet.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: whatever the bytes, an error or a row that is written the same way again after a second reading.
func FuzzDecode(f *testing.F) {
	f.Add(appendRow(nil, &tablestore.Row{EventTime: 1, ExpiresAt: 2, Data: []byte("x")}))
	f.Add(appendRow(nil, &tablestore.Row{EventTime: 1 << 60, Deleted: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := decodeRow(b)
		if err != nil {
			return
		}
		once := appendRow(nil, &row)
		again, err := decodeRow(once)
		if err != nil || !bytes.Equal(appendRow(nil, &again), once) {
			t.Fatalf("%x is written as %x and read as %+v (%v)", b, once, again, err)
		}
	})
}
