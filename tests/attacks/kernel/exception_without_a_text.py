# ---
# jupyter:
#   attack:
#     does: raises an error whose text cannot be had, and one whose class has no name
#     statuses: [error, error, ok]
#     prints: after them
# ---

# %%
class Odd(Exception):
    def __str__(self):
        raise ValueError("no text")


raise Odd


# %%
class Nameless(type):
    def __getattribute__(cls, name):
        if name == "__name__":
            raise ValueError("no name")
        return super().__getattribute__(name)


class Odder(Exception, metaclass=Nameless):
    pass


raise Odder

# %%
print("after them")
