"""Judges behind a chat API: questions, replies, requests in flight, and what was spent."""
