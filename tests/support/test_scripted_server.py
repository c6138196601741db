"""The scripted endpoint itself."""

from __future__ import annotations

from scripted_server import log_probs, serving


def test_scripted_server_closes_cleanly():
    with serving(log_probs) as server:
        pass
    assert not server.thread.is_alive()
