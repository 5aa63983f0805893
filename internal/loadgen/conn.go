package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"time"
)

// Bounds of an answer: no server makes the generator run out of memory.
const (
	maxHeaders = 128
	maxLine    = 16 << 10
	maxBody    = 32 << 20
)

// Conn is one keep-alive connection with one request under way at a time.
type Conn struct {
	nc   net.Conn
	in   *bufio.Reader
	body []byte // of the last answer; its memory is used again
}

// Response is an answer as far as a load generator cares.
type Response struct {
	Status int
	Body   []byte // valid until the next Do
	Close  bool   // the server ends the connection after this answer
}

// Dial connects to addr, host:port.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newConn(nc), nil
}

func newConn(nc net.Conn) *Conn { return &Conn{nc: nc, in: bufio.NewReaderSize(nc, maxLine)} }

// Close ends the connection.
func (c *Conn) Close() error { return c.nc.Close() }

// Do sends the bytes of one request and reads its answer. After an error, or an answer that says Close, the connection is
// of no more use.
func (c *Conn) Do(request []byte, deadline time.Time) (Response, error) {
	if err := c.nc.SetDeadline(deadline); err != nil {
		return Response{}, err
	}
	if _, err := c.nc.Write(request); err != nil {
		return Response{}, err
	}
	r, err := c.read()
	for err == nil && r.Status >= 100 && r.Status < 200 { // 100 Continue and its like precede the answer
		r, err = c.read()
	}
	return r, err
}

// head is what of the headers decides how the body is read.
type head struct {
	length  int // −1: not given
	chunked bool
	close   bool
}

func (c *Conn) read() (Response, error) {
	line, err := c.line()
	if err != nil {
		return Response{}, err
	}
	status, err := parseStatus(line)
	if err != nil {
		return Response{}, err
	}
	h, err := c.head()
	if err != nil {
		return Response{}, err
	}
	r := Response{Status: status, Close: h.close}
	if status < 200 || status == 204 || status == 304 {
		return r, nil
	}
	r.Body, err = c.readBody(h)
	return r, err
}

// line reads up to the next line end, which is cut off.
func (c *Conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("a line of the answer's head is longer than %d bytes", maxLine)
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// parseStatus reads "HTTP/1.1 202 Accepted".
func parseStatus(line []byte) (int, error) {
	const prefix = "HTTP/1."
	if len(line) < len(prefix)+5 || string(line[:len(prefix)]) != prefix || line[len(prefix)+1] != ' ' {
		return 0, fmt.Errorf("%.40q is no HTTP/1 answer", line)
	}
	status, ok := number(line[len(prefix)+2 : len(prefix)+5])
	if !ok || status < 100 {
		return 0, fmt.Errorf("%.40q has no status", line)
	}
	return status, nil
}

func (c *Conn) head() (head, error) {
	h := head{length: -1}
	for range maxHeaders {
		line, err := c.line()
		if err != nil {
			return h, err
		}
		if len(line) == 0 {
			return h, nil
		}
		if err := h.field(line); err != nil {
			return h, err
		}
	}
	return h, fmt.Errorf("the answer has more than %d headers", maxHeaders)
}

func (h *head) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case fold(name, "content-length"):
		n, ok := number(bytes.TrimSpace(value))
		if !ok || n > maxBody || (h.length >= 0 && h.length != n) {
			return fmt.Errorf("Content-Length %.40q: expected one number, at most %d", value, maxBody)
		}
		h.length = n
	case fold(name, "transfer-encoding"):
		if !fold(bytes.TrimSpace(value), "chunked") {
			return fmt.Errorf("Transfer-Encoding %.40q is not read", value)
		}
		h.chunked = true
	case fold(name, "connection"):
		h.close = h.close || fold(bytes.TrimSpace(value), "close")
	}
	return nil
}

func (c *Conn) readBody(h head) ([]byte, error) {
	if h.chunked {
		return c.readChunks()
	}
	if h.length < 0 {
		return nil, errors.New("the answer says neither Content-Length nor chunked")
	}
	if cap(c.body) < h.length {
		c.body = make([]byte, h.length)
	}
	c.body = c.body[:h.length]
	_, err := io.ReadFull(c.in, c.body)
	return c.body, err
}

func (c *Conn) readChunks() ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(httputil.NewChunkedReader(c.in), maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("the answer is over %d bytes", maxBody)
	}
	for range maxHeaders { // trailers, and the empty line that ends them
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return body, err
		}
	}
	return nil, fmt.Errorf("the answer has more than %d trailers", maxHeaders)
}

// number reads a decimal number without sign.
func number(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	n := 0
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, true
}

// fold compares b with lower, which is in lower case, in any case.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, x := range b {
		if x >= 'A' && x <= 'Z' {
			x += 'a' - 'A'
		}
		if x != lower[i] {
			return false
		}
	}
	return true
}
