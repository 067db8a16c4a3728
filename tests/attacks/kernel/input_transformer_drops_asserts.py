# ---
# jupyter:
#   attack:
#     does: an input transformer takes the asserts out of every cell
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: 1 dropped
#     wins: in-kernel the test runs in the student's own process
# ---

# %%
from IPython import get_ipython


def drop(lines):
    kept = ["pass\n" if line.startswith("assert") else line for line in lines]
    print(sum(line.startswith("assert") for line in lines), "dropped")
    return kept


get_ipython().input_transformers_post.append(drop)

# %%
answer = 4
assert answer == 3
