package api

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// call makes a gRPC call through the handler and returns the answer's message, the status and its text.
func (r *rig) call(method string, message []byte) (answer []byte, status, text string) {
	r.t.Helper()
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	return r.callBody(method, body)
}

func (r *rig) callBody(method string, body []byte) (answer []byte, status, text string) {
	r.t.Helper()
	req := httptest.NewRequest("POST", "/feast.serving.ServingService/"+method, bytes.NewReader(body))
	req.ProtoMajor, req.ProtoMinor = 2, 0
	req.Header.Set("Content-Type", "application/grpc+proto")
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, req)
	res := w.Result()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/grpc" {
		r.t.Fatalf("status %d, type %q: %s", res.StatusCode, res.Header.Get("Content-Type"), w.Body)
	}
	answer = w.Body.Bytes()
	if len(answer) >= grpcHead {
		answer = answer[grpcHead:]
	}
	return answer, res.Trailer.Get("Grpc-Status"), res.Trailer.Get("Grpc-Message")
}

// feastMessage asks for a feature of the users u1 and nobody: the bytes that Feast's own generated code writes.
func feastMessage(ref string) []byte {
	var b []byte
	b = appendProto(b, 2, func(b []byte) []byte { return appendProtoText(b, 1, ref) })
	return appendProto(b, 3, func(b []byte) []byte {
		b = appendProtoText(b, 1, "user_id")
		return appendProto(b, 2, func(b []byte) []byte {
			for _, user := range []string{"u1", "no"} {
				b = appendProto(b, 1, func(b []byte) []byte { return appendProtoText(b, 2, user) })
			}
			return b
		})
	})
}

func TestFeastGRPC(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.push(frame("u1", "2026-03-01T12:00:00.250", "0.5"))
	got, status, _ := r.call("GetOnlineFeatures", feastMessage("mood_now:stress"))
	want := strings.Join([]string{
		"0a13", "0a11", "0a07" + "757365725f6964", "0a06" + "737472657373", // metadata: user_id, stress
		"1214", "0a04" + "12027531", "0a04" + "12026e6f", "12020101", "1a001a00", // the keys
		"1220", "0a09" + "29000000000000e03f", "0a00", "12020103", "1a0b" + "08c0d490cd06" + "1080e59a77", "1a00", // the values
		"1801",
	}, "")
	if status != "0" || hex.EncodeToString(got) != want {
		t.Errorf("status %s, answer\n%x, want\n%s", status, got, want)
	}
	got, status, _ = r.call("GetFeastServingInfo", nil)
	if status != "0" || string(got) != "\x0a\x04test" {
		t.Errorf("status %s, answer %q", status, got)
	}
}

func TestFeastGRPCMistakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	for name, c := range map[string]struct {
		body   []byte
		status string
	}{
		"unknown view":    {feastMessage("zz:a"), "5"},
		"unknown feature": {feastMessage("session:zz"), "3"},
		"no features":     {nil, "3"},
		"not proto":       {[]byte{0xff}, "3"},
		"cut":             {feastMessage("session:plays")[:20], "3"},
	} {
		if _, status, text := r.call("GetOnlineFeatures", c.body); status != c.status || text == "" {
			t.Errorf("%s: status %s, %s", name, status, text)
		}
	}
	for name, body := range map[string][]byte{"empty": nil, "wrong length": {0, 0, 0, 0, 9}, "two messages": make([]byte, 10)} {
		if _, status, _ := r.callBody("GetOnlineFeatures", body); status != "3" {
			t.Errorf("%s: status %s", name, status)
		}
	}
	if _, status, _ := r.callBody("GetOnlineFeatures", []byte{1, 0, 0, 0, 0}); status != "12" {
		t.Errorf("compressed: status %s", status)
	}
	if a := r.post("/feast.serving.ServingService/GetOnlineFeatures", "{}"); a.status != 415 {
		t.Errorf("over HTTP/1.1: %d %s", a.status, a.body)
	}
}

// FuzzFeastMessage: whatever the bytes, an error or a request, never a panic.
func FuzzFeastMessage(f *testing.F) {
	f.Add(feastMessage("session:plays"))
	f.Add([]byte{0x1a, 0x02, 0x12, 0x00})
	rel := openRelease(f, testProject)
	f.Fuzz(func(t *testing.T, b []byte) {
		ask, err := parseFeastAsk(b)
		if err != nil {
			return
		}
		if p, err := ask.plan(rel); err == nil {
			for _, block := range p.blocks {
				_, _ = p.keysOf(block.entity, ask.text)
			}
		}
	})
}
