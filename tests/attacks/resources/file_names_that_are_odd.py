# ---
# jupyter:
#   attack:
#     does: leaves files with names that are hard to say
#     statuses: [ok, ok]
#     prints: "32\\n[\\s\\S]*after"
# ---

# %%
import os

NAMES = [b"\xff\xfe", b"-rf", b"a\nb", b"\x1b[2J", b"'; exit #", b'"><b>', b"...", b"~", b"*"]
NAMES += [bytes([n]) * 255 for n in (1, 65, 255)]
NAMES += ["\u202egpj.exe".encode(), b"\xed\xa0\x80", b"COM1:", b"%s"]
for name in NAMES:
    os.mkdir(b"in " + name[:200])
    for path in (name, b"in " + name[:200] + b"/" + name):
        with open(path, "w") as file:
            file.write("x")
print(len(os.listdir(".")))

# %%
print("after")
