"""Functions for the `python` judge."""


def longer(prompt, first, second):
    return 0.5 + 0.4 * ((len(first) > len(second)) - (len(first) < len(second)))


def broken(prompt, first, second):
    raise RuntimeError("no idea")
