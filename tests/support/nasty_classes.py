"""A classifier whose classes are attacks."""


def classify(answer: str) -> str:
    return "</script><script>alert(1)</script>" if len(answer) < 11 else '"><img src=x onerror=alert(1)>'
