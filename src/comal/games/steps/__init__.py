"""The exact solutions of steps that are no plain proximal step, one file a step."""
