package api

import (
	"encoding/binary"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
)

// gRPC is HTTP/2 with a frame of five bytes around each message and the outcome in trailers. A call with one request and one
// answer, which is all we serve, needs nothing else.

// The statuses of gRPC that we answer.
const (
	grpcOK                = 0
	grpcInvalidArgument   = 3
	grpcDeadlineExceeded  = 4
	grpcNotFound          = 5
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

func grpcStatusOf(code freshet.Code) int {
	switch code {
	case freshet.NotFound:
		return grpcNotFound
	case freshet.PermissionDenied:
		return grpcPermissionDenied
	case freshet.Unauthenticated:
		return grpcUnauthenticated
	case freshet.ResourceExhausted, freshet.TooLarge:
		return grpcResourceExhausted
	case freshet.Unavailable:
		return grpcUnavailable
	case freshet.DeadlineExceeded:
		return grpcDeadlineExceeded
	case freshet.Unsupported:
		return grpcUnimplemented
	case freshet.Internal:
		return grpcInternal
	}
	return grpcInvalidArgument
}

// grpc makes a route's function of a method: it takes a request's message and appends the answer's to dst.
func (a *API) grpc(method func(r *http.Request, message, dst []byte) ([]byte, error)) func(*response, *http.Request) error {
	return func(w *response, r *http.Request) error {
		if r.ProtoMajor < 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			return freshet.FieldErrorf(freshet.Unsupported, "Content-Type", "this is a gRPC method; call it over HTTP/2 with application/grpc")
		}
		out := a.buffer()
		defer a.returnBuffer(out)
		err := a.call(w, r, method, out)
		if err != nil {
			a.failGRPC(w, r, err)
			return nil
		}
		w.Header()["Content-Type"] = []string{"application/grpc"}
		w.Header()[http.TrailerPrefix+"Grpc-Status"] = []string{strconv.Itoa(grpcOK)}
		w.WriteHeader(http.StatusOK)
		w.Write(*out)
		return nil
	}
}

const grpcHead = 5 // bytes of a frame before its message: compressed or not, length

func (a *API) call(w *response, r *http.Request, method func(*http.Request, []byte, []byte) ([]byte, error), out *[]byte) error {
	sent, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer a.returnBody(sent)
	if len(sent.buf) < grpcHead || uint64(binary.BigEndian.Uint32(sent.buf[1:])) != uint64(len(sent.buf)-grpcHead) {
		return freshet.Errorf(freshet.InvalidArgument, "the body is not one message of gRPC")
	}
	if sent.buf[0] != 0 {
		return freshet.Errorf(freshet.Unsupported, "the message is compressed; send it as it is")
	}
	b, err := method(r, sent.buf[grpcHead:], append((*out)[:0], make([]byte, grpcHead)...))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-grpcHead))
	*out = b
	return nil
}

// failGRPC answers err: HTTP's own status says that the server was reached.
func (a *API) failGRPC(w *response, r *http.Request, err error) {
	v := a.judge(w, r, err)
	if w.status != 0 {
		return
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/grpc"}
	h[http.TrailerPrefix+"Grpc-Status"] = []string{strconv.Itoa(grpcStatusOf(v.code))}
	h[http.TrailerPrefix+"Grpc-Message"] = []string{url.PathEscape(clip(v.detail, maxDetail))}
	w.WriteHeader(http.StatusOK)
}
