# ---
# jupyter:
#   attack:
#     does: a function that a test calls answers the grader's request, and returns nonsense
#     statuses: [ok, ok]
#     tests: {1: error | no reply}
#     prints: a reply was sent
#     wins: in-kernel the reply comes from the student's own process, and so does the test's
# ---

# %%
from IPython import get_ipython


def add(a, b):
    kernel = get_ipython().kernel
    ident = kernel._shell_parent_ident.get()
    print("a reply was sent", flush=True)
    kernel.session.send(
        kernel.shell_stream.socket,
        "execute_reply",
        {"status": "ok"},
        parent=kernel.get_parent(),
        ident=ident,
    )


# %%
assert add(1, 2) == 3
