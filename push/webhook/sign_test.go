package webhook

import (
	"testing"

	"github.com/freshet-ml/freshet/push"
)

// The vector of Standard Webhooks.
func TestVector(t *testing.T) {
	t.Parallel()
	s := New(Options{Secret: push.Fixed([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))})
	got, err := s.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
}
