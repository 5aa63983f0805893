package endpointmodel

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

const format = "freshet.endpoint/1"

// document is the file.
type document struct {
	Format      string         `json:"format"`
	Description jsontext.Value `json:"description"`
	Protocol    string         `json:"protocol"`
	URL         string         `json:"url"`
	Model       string         `json:"model"`
	Version     string         `json:"version"`
	Inputs      []column       `json:"inputs"`
	Outputs     []string       `json:"outputs"`
	Tensor      *tensorSpec    `json:"tensor"`
	Binary      bool           `json:"binary"`
	Timeout     string         `json:"timeout"`
	Retries     *int           `json:"retries"`
	Connections int            `json:"connections"`
	TokenEnv    string         `json:"token_env"`
	AWS         *awsSpec       `json:"aws"`

	base    *url.URL
	timeout time.Duration
	retries int
}

type column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required *bool  `json:"required"`
}

// tensorSpec says that all columns go as one tensor.
type tensorSpec struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
}

// awsSpec is what a request is signed with. Secrets stand in the environment, never in the file.
type awsSpec struct {
	Region     string `json:"region"`
	KeyIDEnv   string `json:"key_id_env"`
	SecretEnv  string `json:"secret_env"`
	SessionEnv string `json:"session_env"`
}

// Bounds and defaults.
const (
	defaultTimeout     = time.Second
	maxTimeout         = time.Minute
	defaultRetries     = 1
	maxRetries         = 3
	defaultConnections = 16
	maxConnections     = 256
	maxColumns         = 1 << 16
)

func invalid(text string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, text, args...)
}

// parse reads a file. The version comes first: a later one may have keys that this one does not know.
func parse(text []byte) (*document, error) {
	var version struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, invalid("it is no JSON: %w", err)
	}
	if version.Format != format {
		return nil, freshet.Errorf(freshet.Unsupported, "format is %.60q: %s is read", version.Format, format)
	}
	d := &document{}
	if err := json.Unmarshal(text, d, json.RejectUnknownMembers(true)); err != nil {
		return nil, invalid("%w", err)
	}
	for _, check := range []func() error{d.checkProtocol, d.checkURL, d.checkColumns, d.checkLimits, d.checkSecrets} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *document) checkProtocol() error {
	if !slices.Contains([]string{"oip", "mlflow", "sagemaker"}, d.Protocol) {
		return freshet.Errorf(freshet.Unsupported, "protocol is %.60q: expected oip, mlflow or sagemaker", d.Protocol)
	}
	if d.Model == "" && d.Protocol != "mlflow" {
		return invalid("model: missing; expected the name that the endpoint knows it by")
	}
	if d.Protocol != "oip" && (d.Version != "" || d.Tensor != nil || d.Binary) {
		return invalid("version, tensor and binary are of protocol oip; this is %s", d.Protocol)
	}
	if d.Tensor != nil {
		if d.Tensor.Name == "" {
			return invalid("tensor.name: missing")
		}
		if d.Tensor.Datatype != "FP32" && d.Tensor.Datatype != "FP64" {
			return invalid("tensor.datatype is %.20q: expected FP32 or FP64", d.Tensor.Datatype)
		}
	}
	return nil
}

func (d *document) checkURL() (err error) {
	if d.URL == "" && d.Protocol == "sagemaker" && d.AWS != nil {
		d.URL = "https://runtime.sagemaker." + d.AWS.Region + ".amazonaws.com"
	}
	d.base, err = url.Parse(d.URL)
	if err != nil || d.base.Host == "" || d.base.Scheme != "http" && d.base.Scheme != "https" {
		return invalid("url is %.200q: expected a URL such as http://127.0.0.1:8080", d.URL)
	}
	if d.base.User != nil || d.base.RawQuery != "" || d.base.Fragment != "" {
		return invalid("url: no user, query or fragment may stand in it; token_env names the variable with a secret")
	}
	return nil
}

func (d *document) checkColumns() error {
	if len(d.Inputs) == 0 || len(d.Inputs) > maxColumns {
		return invalid("inputs: %d columns; expected 1 to %d", len(d.Inputs), maxColumns)
	}
	seen := map[string]bool{}
	for i, c := range d.Inputs {
		if c.Name == "" || seen[c.Name] {
			return invalid("inputs[%d] is called %.60q: expected a name that no other column has", i, c.Name)
		}
		seen[c.Name] = true
		if !slices.Contains([]string{"", "double", "float", "long", "integer", "boolean"}, c.Type) {
			return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "inputs: column %q has type %.40q: expected double, float, long, integer or boolean", c.Name, c.Type)
		}
	}
	if d.Outputs == nil {
		d.Outputs = modelruntime.OutputNames(1)
	}
	seen = map[string]bool{}
	for i, name := range d.Outputs {
		if name == "" || seen[name] || i == maxColumns {
			return invalid("outputs[%d] is %.60q: expected a name that no other output has", i, name)
		}
		seen[name] = true
	}
	if len(d.Outputs) == 0 {
		return invalid("outputs: expected at least one")
	}
	return nil
}

func (d *document) checkLimits() (err error) {
	d.timeout, d.retries = defaultTimeout, defaultRetries
	if d.Timeout != "" {
		if d.timeout, err = time.ParseDuration(d.Timeout); err != nil || d.timeout <= 0 || d.timeout > maxTimeout {
			return invalid("timeout is %.40q: expected a time such as 50ms, at most %v", d.Timeout, maxTimeout)
		}
	}
	if d.Retries != nil {
		d.retries = *d.Retries
	}
	if d.retries < 0 || d.retries > maxRetries {
		return invalid("retries is %d: expected 0 to %d", d.retries, maxRetries)
	}
	if d.Connections == 0 {
		d.Connections = defaultConnections
	}
	if d.Connections < 1 || d.Connections > maxConnections {
		return invalid("connections is %d: expected 1 to %d", d.Connections, maxConnections)
	}
	return nil
}

// secretName is what a variable must be called whose value may leave the process: a file from elsewhere must not be able to
// send any variable anywhere.
var secretName = regexp.MustCompile(`^(FRESHET_ENDPOINT|AWS)_[A-Z0-9_]{1,100}$`)

func (d *document) checkSecrets() error {
	if d.AWS != nil && d.Protocol != "sagemaker" {
		return invalid("aws is of protocol sagemaker; this is %s", d.Protocol)
	}
	if d.TokenEnv != "" && (d.Protocol == "sagemaker" || !strings.HasPrefix(d.TokenEnv, "FRESHET_ENDPOINT_")) {
		return invalid("token_env is %.60q: expected a variable called FRESHET_ENDPOINT_…, with protocol oip or mlflow", d.TokenEnv)
	}
	if d.Protocol == "sagemaker" {
		if d.AWS == nil || !regexp.MustCompile(`^[a-z0-9-]{1,40}$`).MatchString(d.AWS.Region) {
			return invalid("aws.region: expected the region that requests are signed for, such as us-east-1")
		}
		for name, set := range map[string]*string{"AWS_ACCESS_KEY_ID": &d.AWS.KeyIDEnv, "AWS_SECRET_ACCESS_KEY": &d.AWS.SecretEnv, "AWS_SESSION_TOKEN": &d.AWS.SessionEnv} {
			if *set == "" {
				*set = name
			}
		}
	}
	for _, name := range d.secrets() {
		if !secretName.MatchString(name) {
			return invalid("%.60q is no variable that may hold a secret: expected a name that begins with FRESHET_ENDPOINT_ or AWS_", name)
		}
	}
	return nil
}

// secrets are the variables that the file names.
func (d *document) secrets() (names []string) {
	if d.TokenEnv != "" {
		names = append(names, d.TokenEnv)
	}
	if d.AWS != nil {
		names = append(names, d.AWS.KeyIDEnv, d.AWS.SecretEnv, d.AWS.SessionEnv)
	}
	return names
}

func (d *document) signature() modelruntime.Signature {
	s := modelruntime.Signature{Outputs: d.Outputs}
	for _, c := range d.Inputs {
		s.Inputs = append(s.Inputs, modelruntime.Column{Name: c.Name, Type: c.Type, Required: c.Required != nil && *c.Required})
	}
	return s
}
