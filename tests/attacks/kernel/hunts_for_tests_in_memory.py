# ---
# jupyter:
#   attack:
#     does: searches all of the kernel's memory for a test that has not run yet
#     statuses: [ok, ok]
#     prints: 'searched \d{8,} bytes, found 0\s+searched \d{8,} bytes, found [1-9]'
# ---

# %%
import re


def search(pattern=re.compile(b"secret_[t]est")):
    size = found = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            places, rights = line.split()[:2]
            begin, end = (int(place, 16) for place in places.split("-"))
            if rights.startswith("rw"):
                memory.seek(begin)
                for _ in range(begin, end, 2**20):
                    part = memory.read(min(2**20, end - memory.tell()))
                    size, found = size + len(part), found + len(pattern.findall(part))
    print(f"searched {size} bytes, found {found}")


search()

# %%
secret_test = 4
search()
