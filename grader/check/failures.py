"""What a failed check tells."""

Finding = tuple[str, str]  # what the result is to the expected one; a question that leads on


class CheckFailed(AssertionError):
    """A result is not what the exercise asks for; the message is written for the student."""

    __module__ = "grader.check"  # the name that a traceback shows

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: a notebook shows the message, not the way through this package."""
        return str(self).splitlines()


def failure(line: str, says: str = "", hint: str = "") -> CheckFailed:
    """Return the exception to raise: what is wrong, what that is, a hint."""
    return CheckFailed("\n".join(filter(None, (line, says, hint and f"hint: {hint}"))))
