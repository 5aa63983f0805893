package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/freshet-ml/freshet"
)

// digestPrefix names the one kind of digest there is.
const digestPrefix = "sha256:"

// DigestOf is the digest of b.
func DigestOf(b []byte) freshet.Digest {
	return freshet.Digest(fmt.Sprintf("%s%x", digestPrefix, sha256.Sum256(b)))
}

// CheckDigest returns InvalidArgument for what is no digest: "sha256:" and 64 hexadecimal digits in lower case.
func CheckDigest(d freshet.Digest) error {
	digits, ok := strings.CutPrefix(string(d), digestPrefix)
	if !ok || len(digits) != 2*sha256.Size || strings.Trim(digits, "0123456789abcdef") != "" {
		return freshet.FieldErrorf(freshet.InvalidArgument, "digest", "digest: %.80q is none; expected sha256: and 64 hexadecimal digits in lower case", string(d))
	}
	return nil
}

// Put stores what r gives, which must have the given digest, and returns its size when it is durable. Putting what is there
// already writes it anew, which mends a blob that was damaged. Returns Unprocessable if the bytes have another digest,
// TooLarge over Options.MaxBlobBytes, and r's own error; then nothing is stored.
func (r *Registry) Put(ctx context.Context, digest freshet.Digest, from io.Reader) (size int64, err error) {
	if err := CheckDigest(digest); err != nil {
		return 0, err
	}
	v := &verifier{ctx: ctx, from: from, want: digest, sum: sha256.New(), limit: r.o.MaxBlobBytes}
	if err := r.d.Put(ctx, digest, v); err != nil {
		return 0, err
	}
	return v.size, nil
}

// verifier passes on what is read and ends with an error, not with io.EOF, if it was not what it should be.
type verifier struct {
	ctx   context.Context
	from  io.Reader
	want  freshet.Digest
	sum   hash.Hash
	size  int64
	limit int64
}

func (v *verifier) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := v.from.Read(p)
	v.size += int64(n)
	if v.size > v.limit {
		return 0, freshet.Errorf(freshet.TooLarge, "the blob is over %d bytes", v.limit)
	}
	v.sum.Write(p[:n])
	if err == io.EOF {
		if got := digestOf(v.sum); got != v.want {
			return n, freshet.FieldErrorf(freshet.Unprocessable, "digest", "the %d bytes that came have digest %s; expected %s", v.size, got, v.want)
		}
	}
	return n, err
}

func digestOf(sum hash.Hash) freshet.Digest {
	return freshet.Digest(digestPrefix + hex.EncodeToString(sum.Sum(nil)))
}

// Open gives the blob of digest after all its bytes were read and found to have it; the caller closes it. Returns NotFound
// if there is none, and Internal, naming the file, if it was damaged.
func (r *Registry) Open(ctx context.Context, digest freshet.Digest) (Blob, error) {
	if err := CheckDigest(digest); err != nil {
		return nil, err
	}
	b, err := r.d.Open(ctx, digest)
	if err != nil {
		return nil, err
	}
	v := &verifier{ctx: ctx, from: io.NewSectionReader(b, 0, b.Size()), want: digest, sum: sha256.New(), limit: b.Size()}
	if _, err := io.Copy(io.Discard, v); err != nil {
		if freshet.CodeOf(err) == freshet.Unprocessable {
			err = freshet.Errorf(freshet.Internal, "%s is damaged: %s; put the same artifact again, or restore the file from a backup", b.Name(), err)
		}
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Stat describes the blob of digest without reading it. Returns NotFound if there is none.
func (r *Registry) Stat(ctx context.Context, digest freshet.Digest) (Info, error) {
	if err := CheckDigest(digest); err != nil {
		return Info{}, err
	}
	return r.d.Stat(ctx, digest)
}

// List describes all blobs in the order of their digests.
func (r *Registry) List(ctx context.Context) ([]Info, error) { return r.d.List(ctx) }

// Delete removes the blob of digest. It is no error if there is none. What the log names must not be deleted: the caller
// knows what that is.
func (r *Registry) Delete(ctx context.Context, digest freshet.Digest) error {
	if err := CheckDigest(digest); err != nil {
		return err
	}
	return r.d.Delete(ctx, digest)
}
