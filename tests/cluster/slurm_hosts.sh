#!/bin/bash
# Two hosts with a real Slurm, out of namespaces of this machine; they end with this script. Root only.
#
#   slurm_hosts.sh SHARED PATH...     SHARED: what both hosts see; PATH: folders to keep although /tmp is a host's own
#
# A host has its own network, name, processes, /tmp, /run and /dev/shm; a veth pair joins the two. The hosts are up
# when SHARED/host-1.pid and SHARED/host-2.pid name the first process of each; `nsenter -a -t PID` goes inside.
set -euo pipefail
SHARED=$(readlink -f "$1")
shift
SELF=$(readlink -f "${BASH_SOURCE[0]}")

host() { # inside the namespaces of host $1
  local number=$1
  shift
  mount --make-rprivate /
  mount -t tmpfs tmpfs /mnt
  local path count=0
  for path in "$SHARED" "$@"; do
    count=$((count + 1))
    mkdir "/mnt/$count" && mount --bind "$path" "/mnt/$count"
  done
  mount -t proc proc /proc
  mount -t tmpfs -o mode=1777 tmpfs /tmp
  mount -t tmpfs -o mode=755 tmpfs /run
  mount -t tmpfs -o mode=1777 tmpfs /dev/shm
  count=0
  for path in "$SHARED" "$@"; do
    count=$((count + 1))
    mkdir -p "$path" && mount --move "/mnt/$count" "$path"
  done
  hostname "node$number"
  printf '127.0.0.1 localhost\n10.78.0.1 node1\n10.78.0.2 node2\n' >/run/hosts
  mount --bind /run/hosts /etc/hosts
  mkdir /run/slurm /run/spool /run/state
  until ip -o -4 address show dev eth0 2>/dev/null | grep -q 10.78.0; do sleep 0.05; done
  [ "$number" = 2 ] || slurmctld -f "$SHARED/slurm.conf" -L "$SHARED/slurmctld.log"
  slurmd -f "$SHARED/slurm.conf" -N "node$number" -L "$SHARED/slurmd-$number.log"
  touch "$SHARED/host-$number.ready"
  while :; do sleep 3600 & wait $! || true; done # the first process of a namespace buries its orphans
}

if [ -n "${HOST_NUMBER:-}" ]; then
  host "$HOST_NUMBER" "$@"
fi

cat >"$SHARED/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=node1(10.78.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=120
MailProg=/bin/true
SlurmdSpoolDir=/run/spool
StateSaveLocation=/run/state
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
NodeName=node1 NodeAddr=10.78.0.1 CPUs=4 State=UNKNOWN
NodeName=node2 NodeAddr=10.78.0.2 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
CONF

for number in 1 2; do
  HOST_NUMBER=$number unshare --mount --uts --ipc --pid --net --fork --kill-child "$SELF" "$SHARED" "$@" &
  unshare[number]=$!
done
trap 'kill -KILL "${unshare[@]}" 2>/dev/null || true' EXIT
trap exit TERM INT
for number in 1 2; do
  children=/proc/${unshare[number]}/task/${unshare[number]}/children
  until first[number]=$(tr -d " " <"$children") && [ -n "${first[number]}" ]; do sleep 0.05; done
  nsenter --target "${first[number]}" --net ip link set lo up
done
nsenter --target "${first[1]}" --net ip link add eth0 type veth peer name eth0 netns "${first[2]}"
for number in 1 2; do
  nsenter --target "${first[number]}" --net ip address add "10.78.0.$number/24" dev eth0
  nsenter --target "${first[number]}" --net ip link set eth0 up
  echo "${first[number]}" >"$SHARED/host-$number.pid"
done
wait
