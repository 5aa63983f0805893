#!/bin/sh
# Installs the packages of one folder of Node client tests (its package.json and package-lock.json), once, and prints the path of their
# node_modules, which is what NODE_PATH of a script is set to. They lie in the cache folder of the user under a name made from the
# lock file, so that the next run pays nothing. No script of a package is run. Its argument is the folder: segment, for one.
set -eu
cd "$(dirname "$0")"
source=${1:?the folder with package.json and package-lock.json}
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || {
	echo "There is no node or no npm; install Node 20 or newer with npm." >&2
	exit 1
}
name=$({ cat "$source/package-lock.json" && node --version; } | cksum | tr ' ' '-')
folder=${FRESHET_CACHE:-${XDG_CACHE_HOME:-${HOME:-${TMPDIR:-/tmp}}/.cache}/freshet}
mkdir -p "$folder" 2>/dev/null || folder=${TMPDIR:-/tmp}/freshet-cache
modules=$folder/node-$name
if [ ! -e "$modules/ready" ]; then
	mkdir -p "$folder"
	# Two test runs at once: one makes it, the other waits. A lock that is older than the making takes is a dead one's.
	waited=0
	until mkdir "$modules.lock" 2>/dev/null; do
		if [ -e "$modules/ready" ] || [ "$waited" -gt 600 ]; then
			break
		fi
		sleep 1
		waited=$((waited + 1))
	done
	trap 'rmdir "$modules.lock" 2>/dev/null || true' EXIT
	trap 'exit 130' INT TERM
	if [ ! -e "$modules/ready" ]; then
		rm -rf "$modules"
		mkdir "$modules"
		cp "$source/package.json" "$source/package-lock.json" "$modules"
		# The lock file names versions and digests and no address: packages come from the registry that npm is set to.
		(cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
		touch "$modules/ready"
	fi
fi
echo "$modules/node_modules"
