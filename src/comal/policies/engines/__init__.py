"""What draws a policy's answers, one file an engine; see `comal.policies.engines.base`."""
