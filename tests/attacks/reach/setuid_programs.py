# ---
# jupyter:
#   attack:
#     does: runs every program that makes its caller another user, and makes one
#     statuses: [ok]
#     prints: "programs: \\d+; user: \\['1000'\\]"
# ---

# %%
import glob
import os
import shutil
import stat
import subprocess

programs = []
for folder in ("/usr/bin", "/usr/sbin", "/usr/lib/openssh", "/usr/lib/dbus-1.0", "/usr/libexec"):
    for path in glob.glob(f"{folder}/*"):
        if os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and os.access(path, os.X_OK):
            programs.append(path)
shutil.copy("/usr/bin/id", "/tmp/mine")
os.chmod("/tmp/mine", 0o6755)
users = {subprocess.run(["/tmp/mine", "-u"], capture_output=True, text=True).stdout.strip()}
for command in ("su -c 'id -u'", "sudo -n id -u", "pkexec id -u", "echo id -u | newgrp"):
    users.add(subprocess.run(command, shell=True, capture_output=True, text=True).stdout.strip())
for path in programs:
    with subprocess.Popen([path], stdin=-3, stdout=-3, stderr=-3) as child:
        try:
            with open(f"/proc/{child.pid}/status") as status:
                ids = next(line for line in status if line.startswith("Uid"))
            users |= set(ids.split()[1:])
        except OSError:
            pass
        child.kill()
print(f"programs: {len(programs)}; user: {sorted(users - {''})}")
