#!/bin/sh
# The whole test of a checkout: format, vet, staticcheck, a static build, all tests with the race detector. One line a
# step; the output of a step is shown only if it fails. The exit code is 0 if all is well.
set -u
cd "$(dirname "$0")/.." || exit 1

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

# step NAME COMMAND... runs one step.
step() {
	name=$1
	shift
	printf '%-28s' "$name"
	began=$(date +%s)
	if "$@" >"$log" 2>&1; then
		echo "ok  $(($(date +%s) - began)) s"
		return
	fi
	echo "FAILED"
	cat "$log"
	exit 1
}

fail() {
	echo "$1" >&2
	exit 1
}

formatted() {
	unformatted=$(gofmt -l .) || return 1
	[ -z "$unformatted" ] && return
	echo "These files are not formatted; run gofmt -w on them:"
	echo "$unformatted"
	return 1
}

static_build() {
	CGO_ENABLED=0 go build -buildvcs=false -o /dev/null ./...
}

# at_least_126 VERSION reports whether a Go version such as go1.26.3 is 1.26 or newer.
at_least_126() {
	version=${1#go}
	major=${version%%.*}
	minor=${version#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -ge 26 ]; }
}

command -v go >/dev/null 2>&1 || fail "There is no go command; install Go 1.26 or newer and put it on the PATH."
found=$(go env GOVERSION) || fail "go env failed; is the Go installation whole?"
at_least_126 "$found" 2>/dev/null || fail "This is $found; Go 1.26 or newer is needed"

# The race detector needs C.
have_c() { command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 || command -v cc >/dev/null 2>&1; }
install_c() { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev; }
race=-race
if ! have_c && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing a C compiler for the race detector"
	install_c >"$log" 2>&1 || cat "$log"
fi
if have_c; then
	CGO_ENABLED=1
	export CGO_ENABLED
else
	echo "There is no C compiler: the tests run without the race detector. Install gcc and libc6-dev for the whole test."
	race=
fi

step "gofmt" formatted
step "go vet" go vet ./...
step "staticcheck" go tool staticcheck ./...
step "go build (static)" static_build
# The clients of other systems that the tests let talk to the server; made once, in the user's cache folder.
have_node() { command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; }
install_node() { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs npm; }
if ! have_node && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing Node for clients of other systems"
	install_node >"$log" 2>&1 || cat "$log"
fi
# clients NAME COMMAND... makes one set of clients. Without it its tests are skipped.
clients() {
	printf '%-28s' "$1"
	shift
	began=$(date +%s)
	if "$@" >"$log" 2>&1; then
		echo "ok  $(($(date +%s) - began)) s"
	else
		echo "none, their tests are skipped: $(tail -n 1 "$log")"
	fi
}
clients "python clients" sh test/clients/venv.sh
clients "python clients of models" sh test/clients/venv.sh requirements-models.txt
clients "python client of Segment" sh test/clients/venv.sh requirements-segment.txt
clients "node client of Segment" sh test/clients/node.sh segment
clients "driver of the browser" sh test/clients/node.sh browser
clients "node receivers of push" sh test/clients/node.sh push
echo "go test $race ./..."
# Packages are shown as they end: this is the long step.
# shellcheck disable=SC2086 # race is one flag or none
{
	go test $race ./... 2>&1
	echo $? >"$log"
} | grep --line-buffered -v "no test files"
exit "$(cat "$log")"
