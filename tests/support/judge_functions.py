"""Functions for the `python` judge."""


def longer(prompt, first, second):
    return 0.5 + 0.4 * ((len(first) > len(second)) - (len(first) < len(second)))


def broken(prompt, first, second):
    raise RuntimeError("no idea")


def at_times_silent(prompt, first, second):
    return None if "result" in first else longer(prompt, first, second)
