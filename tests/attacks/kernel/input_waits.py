# ---
# jupyter:
#   attack:
#     does: asks for input and for a password, and then waits for an answer after all
#     statuses: [error, error, time limit, ok]
#     limits: {cell_seconds: 3}
#     prints: 'StdinNotImplementedError[\s\S]*StdinNotImplementedError[\s\S]*after it'
# ---

# %%
import getpass

from IPython import get_ipython

input("name? ")

# %%
getpass.getpass()

# %%
get_ipython().kernel._allow_stdin = True
input("name? ")

# %%
print("after it")
