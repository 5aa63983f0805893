#!/bin/sh
# Installs the npm packages of the push tests, once, and prints the folder that holds node_modules. It lies in the cache folder of the user
# under a name made from the lock file, so that the next run pays nothing.
set -eu
cd "$(dirname "$0")"
for command in node npm; do
	command -v "$command" >/dev/null 2>&1 || {
		echo "There is no $command; install Node.js 20 or newer with npm." >&2
		exit 1
	}
done
name=$({ cat package-lock.json *.cjs && node --version; } | cksum | tr ' ' '-')
folder=${FRESHET_CACHE:-${XDG_CACHE_HOME:-${HOME:-${TMPDIR:-/tmp}}/.cache}/freshet}
mkdir -p "$folder" 2>/dev/null || folder=${TMPDIR:-/tmp}/freshet-cache
modules=$folder/push-$name
if [ ! -e "$modules/ready" ]; then
	mkdir -p "$folder"
	# Two test runs at once: each makes its own, the first to be done is kept.
	made=$(mktemp -d "$folder/push-XXXXXX")
	trap 'rm -rf "$made"' EXIT
	trap 'exit 130' INT TERM
	cp package.json package-lock.json *.cjs "$made"
	(cd "$made" && npm ci --no-audit --no-fund --ignore-scripts --silent >&2)
	touch "$made/ready"
	mv -T "$made" "$modules" 2>/dev/null || [ -e "$modules/ready" ]
fi
echo "$modules"
