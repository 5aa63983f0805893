package cli

import (
	"bytes"
	"strings"
	"testing"
)

// TestUsage runs wrong command lines: each ends with exit code 2 and one sentence that says what would be right.
func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, says string }{
		{"nope", "unexpected argument nope; see `freshet --help`"},
		{"get", "see `freshet get --help`"},
		{"get featurs session u1", `did you mean "features"`},
		{"send", "see `freshet send --help`"},
		{"send - --rat 3", `unknown flag --rat, did you mean "--rate"`},
		{"send - --rate fast", "--rate"},
		{"send - --rate=-1", "--rate -1: expected a positive number"},
		{"send - --rate=NaN", "expected a positive number"},
		{"send - --speed 0x", "such as 10x"},
		{"send - --batch 0", "1 to 10000"},
		{"send - --retry=-1s", "such as 1m"},
		{"send - --format xml", "ndjson"},
		{"get features session u1 --wait 1h", "expected 0s to 30s"},
		{"get features session u1 --as-of then", "known"},
		{"get features session u1 --at yesterday", "RFC 3339"},
		{"get features session u1 --server localhost:8787", "expected a URL such as http://127.0.0.1:8787"},
		{"get features session u1 u2", "FIELD=VALUE"},
		{"get features session user_id=u1 user_id=u2", "given twice"},
		{"completion powershell", "bash"},
		{"serve --memory lots", "such as 512MB"},
		{"serve --workers=-1", "--workers: expected a positive value"},
		{"serve --log-level loud", "loud"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := run(t.Context(), Options{Args: strings.Fields(tt.args), Stdout: &out, Stderr: &errs})
			text := errs.String()
			oneLine := strings.HasPrefix(text, "freshet: ") && strings.Count(text, "\n") == 1
			if code != exitUsage || out.Len() > 0 || !oneLine || !strings.Contains(text, tt.says) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want 2 and %q", code, out.String(), text, tt.says)
			}
		})
	}
}
