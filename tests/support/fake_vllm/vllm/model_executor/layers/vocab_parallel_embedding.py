class ParallelLMHead:
    pass
