"""Win rates of a group of answers as rewards, in other people's trainers and over HTTP."""

from comal.rewards.group import GroupReward, GroupWinRate

__all__ = ["GroupReward", "GroupWinRate"]
