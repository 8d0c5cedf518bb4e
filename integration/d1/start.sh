#!/usr/bin/env bash
# Starts the D1 engine of worker/ on 127.0.0.1:18787 and prints the id of its process,
# which stops on SIGTERM:
#
#	integration/d1/start.sh [LOGFILE]
#
# It needs Node 20 or later and, once, the npm registry.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/worker"

log=${1:-/dev/null}
if (: </dev/tcp/127.0.0.1/18787) 2>/dev/null; then
	echo "port 18787 is taken: stop what listens there" >&2
	exit 1
fi
# What is there may be of another lock file. No package has a script that is wanted: the
# engine comes as a binary.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
	npm ci --ignore-scripts >&2
fi
setsid node serve.js --port 18787 </dev/null >"$log" 2>&1 &
pid=$!
for _ in $(seq 150); do
	if (: </dev/tcp/127.0.0.1/18787) 2>/dev/null; then
		echo "$pid"
		exit 0
	fi
	kill -0 "$pid" 2>/dev/null || break
	sleep 0.2
done
kill "$pid" 2>/dev/null || true
echo "d1 does not answer${1:+; see $1}" >&2
exit 1
