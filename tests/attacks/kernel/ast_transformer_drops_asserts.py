# ---
# jupyter:
#   attack:
#     does: an AST transformer takes the asserts out of every cell
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: 1 dropped
#     wins: in-kernel the test runs in the student's own process
# ---

# %%
import ast

from IPython import get_ipython


class Drop(ast.NodeTransformer):
    def visit_Assert(self, node):
        print("1 dropped")
        return ast.copy_location(ast.Pass(), node)


get_ipython().ast_transformers.append(Drop())

# %%
answer = 4
assert answer == 3
