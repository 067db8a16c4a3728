# ---
# jupyter:
#   attack:
#     does: opens what an ordinary process finds of the machine and of its services
#     statuses: [ok]
#     prints: "tried \\d\\d; opened: \\[\\]"
# ---

# %%
import os

PATHS = """
/etc/shadow /etc/sudoers /etc/hosts /etc/resolv.conf /etc/machine-id /etc/ssh /etc/ssl/private
/run /run/docker.sock /run/systemd/private /run/secrets /var/run /var/log /var/lib /var/spool/cron
/sys /sys/fs/cgroup /sys/kernel/debug /sys/class/net /boot /opt/secrets /srv /mnt /media
/dev/mem /dev/kmem /dev/kmsg /dev/sda /dev/vda /dev/nvme0n1 /dev/fuse /dev/kvm /dev/vsock
/dev/net/tun /dev/loop-control /dev/input /dev/snd /dev/console /dev/mqueue /dev/hugepages
/proc/kcore /proc/sysrq-trigger /proc/kmsg /oldroot /newroot /.dockerenv
"""
tried, opened = PATHS.split(), []
for path in tried:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        opened.append(path)
    except OSError:
        pass
print(f"tried {len(tried)}; opened: {opened}")
