"""Held-out evaluation: replies to questions the policy was never trained on, and what their scores can tell.

`stats` holds the numbers a claim rests on: intervals that resample prompts, and how varied the replies are.
"""
