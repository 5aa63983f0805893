#!/bin/sh
# Makes the Python virtual environment of the client tests, once, and prints the path of its Python. It lies in the cache folder of
# the user under a name made from the requirements, so that the next run, and the next change of nothing, pays nothing. Its argument is
# the file with the requirements: requirements.txt if there is none.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
requirements=${1:-requirements.txt}
command -v "$python" >/dev/null 2>&1 || {
	echo "There is no $python; install Python 3.10 or newer with its venv module." >&2
	exit 1
}
name=$({ cat "$requirements" && "$python" --version; } | cksum | tr ' ' '-')
folder=${FRESHET_CACHE:-${XDG_CACHE_HOME:-${HOME:-${TMPDIR:-/tmp}}/.cache}/freshet}
mkdir -p "$folder" 2>/dev/null || folder=${TMPDIR:-/tmp}/freshet-cache
venv=$folder/clients-$name
if [ ! -e "$venv/ready" ]; then
	mkdir -p "$folder"
	# Two test runs at once: one makes it, the other waits. A lock that is older than the making takes is a dead one's.
	waited=0
	until mkdir "$venv.lock" 2>/dev/null; do
		if [ -e "$venv/ready" ] || [ "$waited" -gt 600 ]; then
			break
		fi
		sleep 1
		waited=$((waited + 1))
	done
	trap 'rmdir "$venv.lock" 2>/dev/null || true' EXIT
	trap 'exit 130' INT TERM
	if [ ! -e "$venv/ready" ]; then
		rm -rf "$venv"
		"$python" -m venv "$venv" >&2
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
		touch "$venv/ready"
	fi
fi
echo "$venv/bin/python"
