#!/usr/bin/env bash
# The cluster of cluster/private.yaml, from a laptop; docs/cluster_private.md tells the whole way.
#   up                      start Ray on every host, and wait until all of them are there
#   run EXPERIMENT [--…]    start `polarmap run` on the head, where it goes on without the laptop
#   follow                  show its progress until it ends, then its tables; ends with its exit code
#   head COMMAND…           run a command on the head, in the cluster's environment
#   down                    end the run and Ray on every host, and say whether anything is left
# POLARMAP_CLUSTER names another file than cluster/private.yaml.
set -euo pipefail
umask 077
cd "$(dirname "$0")/.."
FILE="${POLARMAP_CLUSTER:-cluster/private.yaml}"
WAIT="${POLARMAP_WAIT:-300}" # seconds for all hosts to be there

read_file() {
  "$(dirname "$(command -v ray)")/python" - "$FILE" <<'PY'
import os, shlex, sys, yaml
file = yaml.safe_load(open(sys.argv[1]))
workers = shlex.join(file["provider"]["worker_ips"])
print(f"HEAD={shlex.quote(file['provider']['head_ip'])} WORKERS=({workers}) LOGIN={shlex.quote(file['auth']['ssh_user'])}")
print(f"KEY={shlex.quote(os.path.expanduser(file['auth']['ssh_private_key']))}")
PY
}
SETTINGS="$(read_file)"
eval "$SETTINGS"

on() { # HOST COMMAND: a shell command in the cluster's environment
  ssh -i "$KEY" -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=accept-new "$LOGIN@$1" \
    "[ ! -f ~/.ray/environment.sh ] || . ~/.ray/environment.sh; $2"
}

up() {
  if [ ! -f ~/.ray/auth_token ]; then
    (umask 077 && RAY_AUTH_MODE=token ray get-auth-token --generate >/dev/null) # not printed: it opens the cluster
  fi
  chmod 600 ~/.ray/auth_token
  # Autoscaler v2 loses the workers of hosts it did not rent (Ray 2.60); no cache: it would be open to every user.
  RAY_AUTH_MODE=token RAY_UP_enable_autoscaler_v2=0 ray up -y --no-config-cache --disable-usage-stats "$FILE"
  # `ray up` ends well with hosts missing, so they are counted.
  on "$HEAD" "python - $((${#WORKERS[@]} + 1)) $WAIT" <<'PY'
import sys, time
import ray
wanted, deadline = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
while len(alive := {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}) < wanted:
    if time.monotonic() > deadline:
        sys.exit(f"only {len(alive)} of {wanted} hosts are there: {', '.join(sorted(alive))}")
    time.sleep(1)
print(f"all {wanted} hosts are there: {', '.join(sorted(alive))}")
PY
}

run() { # `polarmap run` with an output, an error and an exit code that wait for `follow`
  on "$HEAD" "set -e; mkdir -p ~/.ray/run; cd ~/.ray/run
    if [ -f process ] && kill -0 \"\$(cat process)\" 2>/dev/null; then echo 'a run is under way: follow' >&2; exit 2; fi
    rm -f code; export COMMAND=$(printf '%q' "polarmap run $(printf '%q ' "$@") --address auto")
    setsid nohup bash -c 'echo \$\$ >process; eval \"\$COMMAND\" >output 2>errors; echo \$? >code' >/dev/null 2>&1 </dev/null &"
}

follow() {
  on "$HEAD" '[ -f ~/.ray/run/process ] || { echo "no run was started: run EXPERIMENT" >&2; exit 2; }
    cd ~/.ray/run && tail -n +1 --pid="$(cat process)" -f errors >&2; cat output; exit "$(cat code)"'
}

left() { # HOST: Ray's processes of the cluster's user, a line each
  on "$1" 'ps -u "$(id -u)" -o pid=,args= | grep -E "raylet|gcs_server|ray::|/ray/(dashboard|_private|autoscaler|util)/" |
    grep -v grep || true'
}

down() {
  local host missed=0 found
  on "$HEAD" 'run="$(cat ~/.ray/run/process 2>/dev/null)" && pkill -TERM -P "$run" &&
    timeout 60 tail --pid="$run" -f /dev/null || true' || missed=1 # an interrupted run goes on from its ledger another day
  for host in "${WORKERS[@]}"; do # `ray down` stops the head alone
    on "$host" 'ray stop' || missed=1
  done
  ray down -y "$FILE" || missed=1
  for host in "$HEAD" "${WORKERS[@]}"; do
    found="$(on "$host" 'ray stop >/dev/null 2>&1; rm -rf ~/.ray ~/ray_bootstrap_*' && left "$host")" || missed=1
    if [ -n "$found" ]; then
      printf 'still running on %s:\n%s\n' "$host" "$found" >&2
      missed=1
    fi
  done
  if [ "$missed" = 1 ]; then
    echo "not every host is clean: see above, and run \`$0 down\` again when all hosts answer" >&2
    exit 4
  fi
  echo "nothing is left on $((${#WORKERS[@]} + 1)) hosts"
}

case "${1:-}" in
  up) up ;;
  run) run "${@:2}" ;;
  follow) follow ;;
  head) on "$HEAD" "$(printf '%q ' "${@:2}")" ;;
  down) down ;;
  *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
esac
