# ---
# jupyter:
#   attack:
#     does: text and an error that a later cell has not shown arrive as if it had
#     statuses: [ok, ok, error]
#     prints: 'forged text\s+honest[\s\S]*Forged: no'
# ---

# %%
from IPython import get_ipython

kernel = get_ipython().kernel


def forge(info):
    def send(kind, **content):
        kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())

    send("stream", name="stdout", text="forged text\n")
    send("error", ename="Forged", evalue="no", traceback=["Forged: no"])
    get_ipython().events.unregister("pre_run_cell", forge)


get_ipython().events.register("pre_run_cell", forge)

# %%
print("honest")

# %%
raise AssertionError
