package loadgen

import (
	"bufio"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet/internal/alloctest"
)

func reading(text string) *Conn {
	return &Conn{in: bufio.NewReaderSize(strings.NewReader(text), maxLine)}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string
		status       int
		body         string
		close        bool
		fails        string
	}{
		{name: "length", answer: "HTTP/1.1 202 Accepted\r\ncontent-LENGTH:  5\r\nX: y\r\n\r\nhello", status: 202, body: "hello"},
		{name: "empty", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", status: 200},
		{name: "no content", answer: "HTTP/1.1 204 No Content\r\n\r\n", status: 204},
		{name: "close", answer: "HTTP/1.1 503 x\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nno", status: 503, body: "no", close: true},
		{name: "chunks", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", status: 200, body: "abcde"},
		{name: "cut body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", fails: "EOF"},
		{name: "cut head", answer: "HTTP/1.1 200 OK\r\nContent-", fails: "EOF"},
		{name: "no length", answer: "HTTP/1.1 200 OK\r\n\r\nhello", fails: "neither"},
		{name: "two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", fails: "Content-Length"},
		{name: "negative", answer: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", fails: "Content-Length"},
		{name: "huge", answer: "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", fails: "at most"},
		{name: "encoding", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", fails: "not read"},
		{name: "other protocol", answer: "SSH-2.0-x\r\n", fails: "no HTTP/1 answer"},
		{name: "long line", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", maxLine), fails: "longer"},
		{name: "many headers", answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxHeaders+1), fails: "headers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := reading(c.answer).read()
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v: expected %q in it", err, c.fails)
				}
				return
			}
			if err != nil || r.Status != c.status || string(r.Body) != c.body || r.Close != c.close {
				t.Errorf("%d %q %v, %v", r.Status, r.Body, r.Close, err)
			}
		})
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	answer := "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
	text := strings.NewReader(answer)
	c := &Conn{in: bufio.NewReaderSize(text, maxLine)}
	if n := alloctest.PerRun(100, func() {
		text.Reset(answer)
		c.in.Reset(text)
		if _, err := c.read(); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations an answer", n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		r, err := reading(answer).read()
		if err == nil && (r.Status < 100 || r.Status > 999 || len(r.Body) > len(answer)) {
			t.Errorf("%d, %d bytes of %d", r.Status, len(r.Body), len(answer))
		}
	})
}
