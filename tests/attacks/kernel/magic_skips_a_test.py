# ---
# jupyter:
#   attack:
#     does: makes of every cell that holds an assert one for another program
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: is not run
#     wins: in-kernel the test runs in the student's own process
# ---

# %%
from IPython import get_ipython
from IPython.core.magic import register_cell_magic


@register_cell_magic
def elsewhere(line, cell):
    print("is not run:", len(cell), "characters")


def begin(lines):
    return ["%%elsewhere\n", *lines] if any("assert" in line for line in lines) else lines


get_ipython().input_transformers_cleanup.append(begin)

# %%
answer = 4
assert answer == 3
