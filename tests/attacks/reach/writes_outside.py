# ---
# jupyter:
#   attack:
#     does: makes a file, a folder, a link and a FIFO in every folder that it can see
#     statuses: [ok]
#     prints: "tried \\d{2,}; made: \\[\\]"
# ---

# %%
import os
import sys

OURS = ("/home/student", "/tmp", "/dev/shm", "/proc")
DEEP = ("/usr", "/nix", sys.prefix, sys.base_prefix)
WAYS = (
    lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)),
    lambda path: os.close(os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY)),
    os.mkdir,
    os.mkfifo,
    lambda path: os.symlink("/etc/passwd", path),
    lambda path: os.link("/tmp/mine", path),
)
open("/tmp/mine", "w").close()
tried, made = 0, []
for folder, folders, _ in os.walk("/"):
    if folder.startswith(OURS) or (folder.startswith(DEEP) and folder.count("/") > 8):
        folders.clear()
        continue
    tried += 1
    for way in WAYS:
        try:
            way(f"{folder}/made-by-a-student")
            made.append(folder)
        except OSError:
            pass
print(f"tried {tried}; made: {made}")
