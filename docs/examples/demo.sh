#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The main job, told as a story: from nothing to a running service.
#
#   docs/examples/demo.sh          run it (again: nothing is built twice)
#   docs/examples/demo.sh clean    stop everything, remove var/demo
#
# All of it lives in var/demo. Nothing else on the machine is changed, and no
# port is opened outside the loopback.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
demo=${DEMO_DIR:-$top/var/demo}
slapos=${SLAPOS:-$top/bin/slapos}
python=${PYTHON:-python3}

die() { echo "demo: $*" >&2; exit 1; }

# ---------------------------------------------------------------- clean

stop() { # PIDFILE: end the process it names, if it is one of ours
  [ -f "$1" ] || return 0
  pid=$(cat "$1")
  tr '\0' ' ' 2>/dev/null < "/proc/$pid/cmdline" | grep -q "$demo" || return 0
  kill "$pid" 2>/dev/null || return 0
  while [ -d "/proc/$pid" ]; do sleep 0.1; done
}

if [ "${1:-}" = clean ]; then
  [ -d "$demo" ] || exit 0
  stop "$demo/inst/var/run/supervisord.pid"
  stop "$demo/proxy.pid"
  chmod -R u+rwX "$demo"
  rm -rf "$demo"
  exit 0
fi

# ---------------------------------------------------------------- who runs it

# The agent refuses partitions of root. Started by root, they are given to the
# account `nobody`; where that account can't reach this directory, the demo
# becomes an ordinary user itself, in a user namespace.
owner=
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$demo"
  if "$python" -c 'import os, pwd, sys
user = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
sys.exit(not (os.access(sys.argv[1], os.X_OK) and os.access(sys.executable, os.X_OK)))' "$demo" 2>/dev/null
  then owner=nobody
  elif [ -z "${DEMO_NAMESPACE:-}" ] && unshare --user --map-user=1000 --map-group=1000 true 2>/dev/null; then
    DEMO_NAMESPACE=1 exec unshare --user --map-user=1000 --map-group=1000 "$0" "$@"
  else
    die "$top can't be reached by the account nobody: move the clone to a directory that others may enter, or run the demo as an ordinary user"
  fi
fi
account=$owner
[ "$account" ] || account=$(id -un 2>/dev/null) || die "user $(id -u) has no name: run the demo as a user of /etc/passwd"

# ---------------------------------------------------------------- the story

mkdir -p "$demo/log"
export SLAPOS_CONFIGURATION="$demo/slapos.cfg" SLAPOS_CLIENT_CONFIGURATION="$demo/slapos.cfg"

now() { read -r uptime _ < /proc/uptime; echo "$uptime"; }
took() { awk "BEGIN { printf \"%6.2f s\", $(now) - $1 }"; }
number=0
step() { # TEXT COMMAND...: run it, its output in a log, and tell how long it took
  number=$((number + 1)); text=$1; shift
  log=$demo/log/$number.log
  began=$(now)
  [ ! -t 1 ] || printf '      ...   %s\r' "$text"
  if ! "$@" > "$log" 2>&1; then
    echo "   failed   $text"
    echo "demo: step $number failed, the end of $log:" >&2
    tail -n 25 "$log" >&2
    exit 1
  fi
  printf '%s   %s\n' "$(took "$began")" "$text"
}
say() { printf '             %s\n' "$*"; }

free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
fetch() { # URL
  if command -v curl > /dev/null; then curl --fail --silent --show-error --max-time 10 "$1"; return; fi
  "$python" -c 'import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())' "$1"
}

# What buildout has to build is built by the setuptools of the environment.
export PIP_NO_BUILD_ISOLATION=0

environment() {
  [ -f "$demo/venv/.ready" ] && return
  "$python" -m venv "$demo/venv"
  "$top/.ci/pip" "$demo/venv/bin/python" build
  "$top/.ci/pip" "$demo/venv/bin/python" buildout
  touch "$demo/venv/.ready"
}

configuration() {
  cat > "$demo/slapos.cfg" <<EOF
[slapos]
computer_id = demo
master_url = http://127.0.0.1:$port/
master_rest_url = http://127.0.0.1:$port/hateoas
software_root = $demo/soft
instance_root = $demo/inst
root_check = false
python = $demo/venv/bin/python
pidfile_software = $demo/software.pid
pidfile_instance = $demo/instance.pid
software_min_free_space = 100M
instance_min_free_space = 10M

[slapformat]
partition_amount = 1
computer_xml = $demo/slapos.xml
input_definition_file = $demo/definition.cfg

[slapproxy]
host = 127.0.0.1
port = $port
database_uri = $demo/proxy.db
EOF
  cat > "$demo/definition.cfg" <<EOF
[computer]
address = 127.0.0.1/255.255.255.255

[partition_0]
pathname = slappart0
user = $account
address = 127.0.0.1/255.255.255.255 ::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
network_interface =
EOF
}

answers() { fetch "http://127.0.0.1:$port/getRunId" > /dev/null 2>&1; }

master() {
  if [ -f "$demo/port" ]; then port=$(cat "$demo/port"); answers && return; fi
  port=$(free_port)
  echo "$port" > "$demo/port"
  configuration
  setsid "$slapos" proxy start --cfg "$demo/slapos.cfg" < /dev/null >> "$demo/log/proxy.log" 2>&1 &
  echo $! > "$demo/proxy.pid"
  tries=0
  until answers; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] && kill -0 "$(cat "$demo/proxy.pid")" 2>/dev/null ||
      { tail -n 5 "$demo/log/proxy.log"; return 1; }
    sleep 0.05
  done
}

prepare() {
  "$slapos" node format --now --alter_user=False --alter_network=False
  if [ "$owner" ]; then chown "$owner:" "$demo/soft" "$demo/inst/slappart0"; fi
}

request() { "$slapos" request hello "$release" --parameters name=SlapOS port="$service_port"; }

promises() {
  "$python" -c 'import glob, json, sys
for path in sorted(glob.glob(sys.argv[1] + "/*.status.json")):
  promise = json.load(open(path))
  print("promise %s: %s" % (promise["name"], "failed" if promise["result"]["failed"] else "good"))
' "$demo/inst/slappart0/.slapgrid/promise/result"
}

url() {
  "$slapos" service info hello 2>/dev/null | sed -n 's/.*"url": "\(.*\)".*/\1/p'
}

release=$top/docs/examples/hello/software.cfg
[ -x "$slapos" ] || die "$slapos is missing: run \`make build\` first"
[ -f "$demo/service-port" ] || free_port > "$demo/service-port"
service_port=$(cat "$demo/service-port")

all=$(now)
echo "From an empty directory to a running service, in $demo:"
step "a Python environment with zc.buildout, to build with" environment
step "slapos proxy start: the master" master
port=$(cat "$demo/port")
say "listens on http://127.0.0.1:$port/, its panel is http://127.0.0.1:$port/panel/"
step "slapos node format: one partition, of the account $account" prepare
step "slapos supply: this machine shall have the release" "$slapos" supply "$release" demo
step "slapos node software: buildout compiles and installs it" "$slapos" node software
step "slapos request: an instance, called hello, is wanted" request
step "slapos node instance: services are started, promises are checked" "$slapos" node instance
{ "$slapos" node status | tr -s ' ' | grep slappart0; promises; } | while read -r line; do say "$line"; done
step "slapos request, again: the master knows its address now" request
grep -h "{'url'" "$demo/log/$number.log" | sed 's/.*{/             {/'
service=$(url)
step "the service answers" fetch "$service"
say "$(cat "$demo/log/$number.log")"
echo "$(took "$all")   in all. The service runs on $service; \`make demo-clean\` stops and removes everything."
