# ---
# jupyter:
#   attack:
#     does: displays objects whose text has no end
#     statuses: [ok, memory limit | error, ok]
#     prints: "after"
# ---

# %%
import itertools


class Endless(list):
    def __iter__(self):
        return itertools.count()


Endless()


# %%
class Page:
    def _repr_html_(self):
        return "".join("x" * 10**6 for _ in itertools.count())


Page()

# %%
print("after")
