from types import SimpleNamespace

current_platform = SimpleNamespace(
    is_cpu=lambda: True, is_cuda=lambda: False, is_sleep_mode_available=lambda: False, device_type="cpu"
)
