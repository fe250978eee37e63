# What every command on a host of the private cluster starts with; cluster/private.yaml copies this to ~/.ray.
umask 077                                       # the token, the run's output and its tables are the user's alone
export PATH="$HOME/polarmap/bin:$PATH"          # the virtual environment with the wheel
export RAY_TMPDIR="$HOME/.ray"                  # Ray opens its session folder to everyone: it lies in one that is not
export RAY_AUTH_MODE=token                      # nobody without ~/.ray/auth_token computes, submits or looks
export RAY_USAGE_STATS_ENABLED=0                # nothing phones home
export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0          # under `uv run` Ray would ship the working directory to its workers
export RAY_enable_metrics_collection=0          # with ray[default] a Prometheus port would answer without the token
export RAY_health_check_timeout_ms=3000         # a host that was cut off is given up after 25 s, not 60 s …
export RAY_grpc_client_keepalive_time_ms=10000  # … and what it was computing goes elsewhere then, not after 5 min
export RAY_grpc_client_keepalive_timeout_ms=10000

POLARMAP_PORTS="--node-manager-port=6380 --object-manager-port=6381 --dashboard-agent-grpc-port=6382
 --dashboard-agent-listen-port=6383 --runtime-env-agent-port=6384 --min-worker-port=10002 --max-worker-port=10999"
# What this host gives, if not all of it: put for example POLARMAP_HOST="--num-cpus=4 --num-gpus=1" into ~/.profile.
POLARMAP_HOST="${POLARMAP_HOST:-} --object-store-memory=${POLARMAP_OBJECT_STORE:-500000000}" # a cohort takes tens of MB
