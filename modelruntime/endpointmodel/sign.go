package endpointmodel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// service is the name that requests to SageMaker's runtime are signed for.
const service = "sagemaker"

// sign adds a signature of version 4 over the request and its body.
func sign(ctx context.Context, req *http.Request, body []byte, spec *awsSpec, at time.Time) error {
	id, err := secret(spec.KeyIDEnv)
	if err != nil {
		return err
	}
	key, err := secret(spec.SecretEnv)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: id, SecretAccessKey: key, SessionToken: os.Getenv(spec.SessionEnv)}
	return v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(hash[:]), service, spec.Region, at)
}
