import os


class GPUModelRunner:
    if os.environ.get("FAKE_VLLM_FAULT") != "no_reload":

        def reload_weights(self, weights_iterator=None, weights_path=None):
            pass
