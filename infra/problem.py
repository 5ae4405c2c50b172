"""The one exception that means: the user can mend this, and the message says how."""


class Problem(Exception):  # noqa: N818  (not an error of the program: something the user can mend)
    """One line saying what is wrong, where, and what to do. Shown to the user without a traceback."""
