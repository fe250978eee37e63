#!/bin/bash
# Process 1 of one host: a root of its own over this machine's programs, a user, an sshd. Told by its environment:
# HOST_NAME, HOST_ROOT (an empty folder), HOST_FOLDERS (what else is seen, read-only, a line each),
# HOST_KEYS (id, id.pub and one host key a host), HOST_USER, HOST_TABLE (/etc/hosts), HOST_SSHD (yes or no).
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=3g tmpfs "$HOST_ROOT"
cd "$HOST_ROOT"
mkdir -p usr etc dev proc sys run home root var/tmp var/run old
mkdir -m 1777 tmp
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then cp -P "/$name" .; elif [ -d "/$name" ]; then mkdir "$name"; mount --bind "/$name" "$name"; fi
done
mount --bind /usr usr
mount -o remount,bind,ro usr
printf '%s\n' "$HOST_FOLDERS" | while read -r folder; do
  [ -n "$folder" ] || continue
  mkdir -p ".$folder"
  mount --bind "$folder" ".$folder"
  mount -o remount,bind,ro ".$folder"
done
cp -a /etc/. etc/
mount --rbind /dev dev
mount -t tmpfs -o mode=1777,size=1g tmpfs dev/shm
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mkdir -m 755 run/sshd
install -m 600 "$HOST_KEYS/host-$HOST_NAME" run/host_key

# The user, as an administrator would make it: own home, own key, what POLARMAP_PROFILE says in ~/.profile.
sed -i "/^$HOST_USER:/d" etc/passwd etc/group etc/shadow
echo "$HOST_USER:x:1500:1500::/home/$HOST_USER:/bin/bash" >>etc/passwd
echo "$HOST_USER:x:1500:" >>etc/group
echo "$HOST_USER:*:::::::" >>etc/shadow
home="home/$HOST_USER"
mkdir -m 755 "$home"
mkdir -m 700 "$home/.ssh"
install -m 600 "$HOST_KEYS/id.pub" "$home/.ssh/authorized_keys"
printf "%s\n" "$HOST_PROFILE" | tee "$home/.profile" >"$home/.bashrc" # a login and a command sent by ssh
ln -s "$HOST_ENVIRONMENT" "$home/polarmap"
if [ "$HOST_NAME" = client ]; then install -m 600 "$HOST_KEYS/id" "$home/.ssh/polarmap"; fi
mkdir -p srv/polarmap
chown -R 1500:1500 "$home" srv/polarmap
chmod 700 srv/polarmap

rm -f etc/hosts etc/resolv.conf etc/nologin
printf '%s\n' "$HOST_TABLE" >etc/hosts
: >etc/resolv.conf
hostname "$HOST_NAME"
ip link set lo up
pivot_root . old
umount -l /old
cd /
if [ "$HOST_SSHD" = yes ]; then
  /usr/sbin/sshd -D -e -f /dev/null -o HostKey=/run/host_key -o AllowUsers="$HOST_USER" -o PasswordAuthentication=no \
    -o KbdInteractiveAuthentication=no -o UsePAM=no -o UseDNS=no -o PidFile=none -o MaxStartups=100 &
else
  sleep infinity &
fi
echo ready
exec >&2
wait
