package loadgen

import "strconv"

// AppendHead appends the head of an HTTP/1.1 request whose body, of length bytes, follows it. A GET has length 0 and
// contentType "". header are further lines, each ended by "\r\n".
func AppendHead(dst []byte, method, host, target, contentType, header string, length int) []byte {
	dst = append(append(append(append(dst, method...), ' '), target...), " HTTP/1.1\r\nHost: "...)
	dst = append(append(append(dst, host...), "\r\n"...), header...)
	if contentType != "" {
		dst = append(append(append(dst, "Content-Type: "...), contentType...), "\r\n"...)
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), int64(length), 10), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}
