# ---
# jupyter:
#   attack:
#     does: looks through all that is in memory for a test that has not run yet
#     statuses: [ok, ok]
#     prints: "texts: [1-9]\\d{3,}, found: 0\\s+found: [1-9]"
# ---

# %%
import gc


def texts():
    for thing in gc.get_objects():
        for held in (thing, *gc.get_referents(thing)):
            if type(held) is str:
                yield held


wanted = "".join(["sec", "ret", "_", "test"])
found = {text for text in texts()}
print(f"texts: {len(found)}, found: {sum(wanted in text for text in found)}")
del found

# %%
secret_test = 4
print("found:", sum(wanted in text for text in {text for text in texts()}))
